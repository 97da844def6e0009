"""A domain of two kinds of aggregates, where one's events lead to the other's."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Self

from whence import Aggregate, Domain, Event, command, replace
from whence.store.append import Append, NewEvent
from whence.store.eventstore import EventStore
from whence.store.ids import CommandIds, StreamId
from whence.store.metadata import NO_METADATA, Metadata, encode_metadata
from whence.store.recorded import microseconds

NOON = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
_ids = CommandIds()


class Opened(Event):
    owner: str


class Renamed(Event):
    owner: str


class Account(Aggregate[Opened | Renamed]):
    owner: str = ""
    names: int = 0

    @command
    def open(self, owner: str) -> Opened:
        return Opened(owner)

    def apply(self, event: Opened | Renamed) -> Self:
        return replace(self, owner=event.owner, names=self.names + 1)


class Flagged(Event):
    reason: str
    flagged_by: str = ""


class Case(Aggregate[Flagged]):
    status: str = "none"

    def apply(self, event: Flagged) -> Self:
        return replace(self, status="flagged")


domain = Domain(aggregates=[Account, Case])


async def append(
    store: EventStore,
    stream: StreamId,
    events: Sequence[Event],
    *,
    expected: int = 0,
    metadata: Metadata = NO_METADATA,
    at: datetime | None = None,
) -> None:
    """Store events; with ``at`` each a minute after the one before it."""
    registry = domain.write_model.events
    new = [
        NewEvent(
            registry.encode(event),
            encode_metadata(metadata),
            None if at is None else microseconds(at + timedelta(minutes=number)),
        )
        for number, event in enumerate(events)
    ]
    await store.append(Append(stream, expected, _ids.next(), new))
