"""The read model: the projections of a domain, read from their classes once, at start."""

from collections.abc import Iterable
from copy import copy
from typing import TYPE_CHECKING, Any

from whence.projections.projection import Projection, Projector, in_redis
from whence.store.errors import InvalidDomain, UnknownProjection, ViewInSql
from whence.store.registry import EventRegistry

if TYPE_CHECKING:  # an extra
    from whence.projections.database import Database


class ReadModel:
    """The projections of a domain by name.

    Args:
        projections: the classes; each must be able to handle the events it names.
        events: the events of the domain's aggregates.

    Raises:
        InvalidDomain: a class contradicts itself or another one; the sentence says how.
    """

    def __init__(self, projections: Iterable[type[Projector]], events: EventRegistry) -> None:
        self.projections: dict[str, Projector] = {}
        owners: dict[str, str] = {}
        for cls in projections:
            projection = cls(events)
            if projection.name in self.projections:
                raise InvalidDomain(f"two projections are named {projection.name!r}")
            self.projections[projection.name] = projection
            for table in projection.owned:
                owner = owners.setdefault(table, projection.name)
                if owner != projection.name:
                    raise InvalidDomain(
                        f"the projections {owner} and {projection.name} have one table, {table}: "
                        "each needs its own, for both would apply every event to it"
                    )

    def projector(self, name: str) -> Projector:
        """The projection of that name, wherever its view is kept. Raises UnknownProjection."""
        try:
            return self.projections[name]
        except KeyError:
            raise UnknownProjection(name, sorted(self.projections)) from None

    def projection(self, name: str) -> Projection[Any]:
        """The projection of that name, whose rows can be read from Redis.

        Raises:
            UnknownProjection
            ViewInSql: its rows are elsewhere.
        """
        found = self.projector(name)
        if in_redis(found):
            return found
        raise ViewInSql(name)

    def at(self, database: "Database") -> "ReadModel":
        """The same projections; those with tables are kept in this database."""
        found = copy(self)
        found.projections = {
            name: projection.at(database) for name, projection in self.projections.items()
        }
        return found

    @property
    def in_redis(self) -> dict[str, Projection[Any]]:
        """Those whose rows are in Redis: what ``get`` and ``find`` can read."""
        found = self.projections.items()
        return {name: view for name, view in found if in_redis(view)}
