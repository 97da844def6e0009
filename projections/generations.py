"""The generations of a view: which one readers see, which one is built, which one is kept.

Generation 1 has the projection's name in its keys, later ones "@2", "@3" behind it. Which of them
is live stands in one key; what changes it is in succession.py.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from whence.projections.projection import Projector
from whence.projections.wishes import Action, Wish, parse_wish
from whence.store.errors import CorruptStore, RevisionMismatch
from whence.store.eventstore import EventStore
from whence.store.keys import Keys
from whence.store.wire import Command


class Generations(NamedTuple):
    """Numbers of generations, None for what there is not.

    ``revisions`` says by which version of the projection each was made, ``was`` which versions have
    been live at any time; ``dropping`` are those whose keys are still to be deleted. ``wish`` is
    what a person wants done and no worker has done yet.
    """

    live: int
    building: int | None
    previous: int | None
    newest: int
    switcher: str
    revisions: Mapping[int, str]
    was: frozenset[str]
    dropping: Sequence[int]
    wish: Wish | None = None

    @property
    def live_revision(self) -> str:
        return self.revisions.get(self.live, "")

    def meant(self, action: Action) -> int | None:
        """The generation that an action is about; None where there is nothing that it could do."""
        match action:
            case "rebuild":
                return self.newest if self.building is None else None
            case "compare" | "switch" | "abandon":
                return self.building
            case "rollback" | "drop":
                return self.previous


def generations_command(keys: Keys, name: str) -> Command:
    """Its reply is what ``parse_generations`` takes; ``name`` is that of any generation."""
    return ("HGETALL", keys.generations(name.partition("@")[0]))


def parse_generations(flat: Sequence[bytes]) -> Generations:
    """Of a view that nobody has begun, generation 1 is live. Raises CorruptStore."""
    texts = [text.decode() for text in flat]
    fields = dict(zip(texts[::2], texts[1::2], strict=True))
    try:
        live = int(fields.get("live", 1))
        found = Generations(
            live,
            int(fields["building"]) if "building" in fields else None,
            int(fields["previous"]) if "previous" in fields else None,
            int(fields.get("newest", live)),
            fields.get("switcher", ""),
            {int(number): fields[f"revision:{number}"] for number in _after(fields, "revision")},
            frozenset(_after(fields, "was")),
            [int(number) for number in _after(fields, "dropping")],
        )
    except ValueError as error:
        raise CorruptStore(f"the generations of a view cannot be read: {fields}") from error
    wish = parse_wish(fields["wish"]) if "wish" in fields else None
    if wish is None or found.meant(wish.action) != wish.number:
        return found
    return found._replace(wish=wish)


async def generations(store: EventStore, projection: Projector) -> Generations:
    """Raises StoreUnavailable, ServerRefused, CorruptStore."""
    return parse_generations(await store.ask(*generations_command(store.keys, projection.name)))


async def generations_of_each(
    store: EventStore, projections: Sequence[Projector]
) -> dict[Projector, Generations]:
    """``generations`` of several, in one round trip; raises as it does."""
    commands = [generations_command(store.keys, one.name) for one in projections]
    replies = await store.ask_many(commands)
    found = map(parse_generations, replies)
    return dict(zip(projections, found, strict=True))


async def outdated_views(store: EventStore, projections: Sequence[Projector]) -> dict[str, str]:
    """``outdated`` of those that are, by name. One round trip.

    Raises:
        StoreUnavailable, ServerRefused, CorruptStore
    """
    known = await generations_of_each(store, projections)
    told = {one.name: outdated(one, found) for one, found in known.items()}
    return {name: sentence for name, sentence in told.items() if sentence}


def outdated(projection: Projector, found: Generations) -> str:
    """What to tell people of a live view that this code leaves alone; empty where it does not."""
    revision = found.live_revision
    if not revision or revision == projection.revision:
        return ""
    return str(
        RevisionMismatch(projection.name, revision, projection.revision, _advice(projection, found))
    )


def _advice(projection: Projector, found: Generations) -> str:
    if found.building and found.revisions.get(found.building) == projection.revision:
        return "the next one is being built"
    if found.previous and found.revisions.get(found.previous) == projection.revision:
        return (
            f"workers leave it alone; start the newer code, or run `whence projections rollback "
            f"{projection.name}`"
        )
    return f"workers leave it alone; run `whence projections rebuild {projection.name}`"


def _after(fields: Mapping[str, str], kind: str) -> list[str]:
    """What stands behind "kind:" in the names of fields."""
    return [name.removeprefix(f"{kind}:") for name in fields if name.startswith(f"{kind}:")]
