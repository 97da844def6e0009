"""Loading: the state of aggregates out of their events, from a snapshot on where one helps."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from whence.actors.fold import fold
from whence.actors.model import AggregateType, AnyAggregate
from whence.actors.snapshot import FIELDS, Snapshot
from whence.store.eventstore import PAGE, EventStore
from whence.store.feed import END, Span
from whence.store.ids import StreamId
from whence.store.recorded import Recorded, microseconds
from whence.store.registry import EventRegistry

# What a stream gives before its snapshot is asked for: one that is shorter needs no second trip.
FIRST_PAGE = 100
# Events that one round trip may bring, of all streams together.
EVENTS_PER_TRIP = 10_000


class Loaded(NamedTuple):
    """A state, and the event after which the aggregate had it.

    Attributes:
        version, occurred_at_us, checksum: of that event; 0 where there is none.
        snapshot: the version of the snapshot from which it was loaded; 0 without one.
    """

    stream: StreamId
    state: AnyAggregate
    version: int = 0
    occurred_at_us: int = 0
    checksum: int = 0
    snapshot: int = 0


async def load(
    store: EventStore,
    events: EventRegistry,
    kind: AggregateType,
    stream: StreamId,
    *,
    last: int | None = None,
    until: datetime | None = None,
) -> Loaded:
    """``load_many`` for one stream."""
    (loaded,) = await load_many(store, events, kind, [stream], last=last, until=until)
    return loaded


async def load_many(
    store: EventStore,
    events: EventRegistry,
    kind: AggregateType,
    streams: Sequence[StreamId],
    *,
    last: int | None = None,
    until: datetime | None = None,
) -> list[Loaded]:
    """Fold the events of aggregates of one kind, all of them in the same few round trips.

    What is read at a time is at most 10,000 events, or 100 of each stream if that is more: load a
    hundred streams per call, or a few hundred.

    Args:
        last: the last version to apply, for all of them.
        until: only events that had occurred by this moment (aware).

    Raises:
        StoreUnavailable, ServerRefused: the server cannot be read.
        CorruptStore: a version is missing, or a stored event cannot be read.
    """
    end = END if last is None else max(last, 0)
    until_us = None if until is None else microseconds(until)
    loads = [_Load(events, kind, stream, end, until_us) for stream in streams]
    await _advance(store, loads, FIRST_PAGE)
    rest = [one for one in loads if not one.done]
    await _find_snapshots(store, kind, rest)
    while rest:
        await _advance(store, rest, max(FIRST_PAGE, min(PAGE, EVENTS_PER_TRIP // len(rest))))
        rest = [one for one in rest if not one.done]
    return [one.loaded for one in loads]


async def _advance(store: EventStore, loads: Sequence["_Load"], limit: int) -> None:
    pages = await store.read_many([one.next for one in loads], limit=limit)
    for one, page in zip(loads, pages, strict=True):
        one.add(page, limit)


async def _find_snapshots(store: EventStore, kind: AggregateType, loads: Sequence["_Load"]) -> None:
    keys = [store.keys.snapshot(one.loaded.stream) for one in loads]
    replies = await store.replies([("HMGET", key, *FIELDS) for key in keys])
    for one, reply in zip(loads, replies, strict=True):
        one.consider(kind.snapshots.decode(one.loaded.stream, reply))


class _Load:
    """The fold of one stream, page by page.

    Attributes:
        loaded: the state so far.
        done: nothing is left to read.
    """

    __slots__ = ("_end", "_events", "_snapshot", "_until_us", "done", "loaded")

    def __init__(
        self,
        events: EventRegistry,
        kind: AggregateType,
        stream: StreamId,
        end: int,
        until_us: int | None,
    ) -> None:
        self.loaded = Loaded(stream, kind.cls())
        self.done = False
        self._events = events
        self._end = end
        self._until_us = until_us
        self._snapshot: Snapshot | None = None

    @property
    def next(self) -> Span:
        """What to read next; a snapshot has to show that its own event is in the log."""
        stream, _, version, *_ = self.loaded
        first = version + 1 if self._snapshot is None else self._snapshot.version
        return Span(stream, first, self._end)

    def consider(self, snapshot: Snapshot | None) -> None:
        """Go on from this snapshot, if it leads further and not too far."""
        if snapshot is not None and self.loaded.version < snapshot.version <= self._end:
            self._snapshot = snapshot

    def add(self, page: Sequence[Recorded], limit: int) -> None:
        """Apply what ``next`` asked for; a page of fewer events than ``limit`` is the last one."""
        snapshot, self._snapshot = self._snapshot, None
        wanted = self._in_time(page)
        self.done = len(wanted) < limit
        if snapshot is None:
            self._apply(wanted)
        elif wanted and wanted[0].anchor == snapshot.anchor:
            self.loaded = Loaded(snapshot.stream, snapshot.state, snapshot=snapshot.version)
            self._apply(wanted, skip=1)
        else:  # not of this log, or later than the moment asked for: read on without it
            self.done = False

    def _in_time(self, page: Sequence[Recorded]) -> Sequence[Recorded]:
        until = self._until_us
        if until is None or not page or page[-1].occurred_at_us <= until:
            return page
        return [record for record in page if record.occurred_at_us <= until]

    def _apply(self, records: Sequence[Recorded], *, skip: int = 0) -> None:
        if records:
            before, last = self.loaded, records[-1]
            self.loaded = Loaded(
                before.stream,
                fold(self._events, before.state, records[skip:]),
                last.version,
                last.occurred_at_us,
                last.checksum,
                before.snapshot,
            )
