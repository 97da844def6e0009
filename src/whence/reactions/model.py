"""The reactions of a domain, read from their classes once, at start."""

from collections.abc import Collection, Iterable

from whence.actors.model import WriteModel
from whence.reactions.reaction import Reaction
from whence.store.errors import InvalidDomain, UnknownReaction


class ReactionModel:
    """The reactions of a domain by name.

    Args:
        reactions: the classes; each must be able to handle the events it names.
        model: the aggregates of the domain.
        taken: names of projections, under which no reaction can keep its place.

    Raises:
        InvalidDomain: a class contradicts itself or another one; the sentence says how.
    """

    def __init__(
        self, reactions: Iterable[type[Reaction]], model: WriteModel, taken: Collection[str] = ()
    ) -> None:
        self.reactions: dict[str, Reaction] = {}
        for cls in reactions:
            reaction = cls(model)
            if reaction.name in self.reactions:
                raise InvalidDomain(f"two reactions are named {reaction.name!r}")
            if reaction.name in taken:
                raise InvalidDomain(
                    f"a projection and a reaction are named {reaction.name!r}, and both would keep "
                    "their place in the log under it: give one of them another name"
                )
            self.reactions[reaction.name] = reaction

    def reaction(self, name: str) -> Reaction:
        """Raises UnknownReaction."""
        try:
            return self.reactions[name]
        except KeyError:
            raise UnknownReaction(name, sorted(self.reactions)) from None
