"""The read model: the projections of a domain, read from their classes once, at start."""

from collections.abc import Iterable
from typing import Any

from whence.projections.projection import Projection
from whence.store.errors import InvalidDomain, UnknownProjection
from whence.store.registry import EventRegistry


class ReadModel:
    """The projections of a domain by name.

    Args:
        projections: the classes; each must be able to handle the events it names.
        events: the events of the domain's aggregates.

    Raises:
        InvalidDomain: a class contradicts itself or another one; the sentence says how.
    """

    def __init__(self, projections: Iterable[type[Projection[Any]]], events: EventRegistry) -> None:
        self.projections: dict[str, Projection[Any]] = {}
        for cls in projections:
            projection = cls(events)
            if projection.name in self.projections:
                raise InvalidDomain(f"two projections are named {projection.name!r}")
            self.projections[projection.name] = projection

    def projection(self, name: str) -> Projection[Any]:
        """Raises UnknownProjection."""
        try:
            return self.projections[name]
        except KeyError:
            raise UnknownProjection(name, sorted(self.projections)) from None
