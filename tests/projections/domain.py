"""A small domain for the tests of projections: parcels that are sent, weighed and delivered."""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, ClassVar
from zlib import crc32

import anyio
import msgspec
from msgspec.structs import replace

from whence.projections.projection import Projection, Projector, on
from whence.projections.query import find
from whence.projections.readmodel import ReadModel
from whence.projections.settings import WorkerSettings
from whence.projections.status import PartitionStatus, status
from whence.projections.views import Views
from whence.projections.worker import Worker
from whence.store.append import Append, Committed, NewEvent, Outcome
from whence.store.events import Event
from whence.store.eventstore import EventStore
from whence.store.ids import CommandIds, StreamId
from whence.store.recorded import Recorded
from whence.store.registry import EventRegistry


class Sent(Event):
    city: str
    grams: int = 0


class Weighed(Event):
    grams: int


class Delivered(Event):
    pass


class Lost(Event):
    """No projection here handles it."""


class ParcelRow(msgspec.Struct, frozen=True):
    city: str
    grams: int
    delivered: bool = False
    events: int = 1


class Parcels(Projection[ParcelRow]):
    """One row per parcel: its key is the aggregate's id."""

    @on(Sent)
    def sent(self, event: Sent, record: Recorded, views: Views[ParcelRow]) -> None:
        views.put(record.id, ParcelRow(event.city, event.grams))

    @on(Weighed)
    def weighed(self, event: Weighed, record: Recorded, views: Views[ParcelRow]) -> None:
        views.update(record.id, lambda row: replace(row, grams=event.grams, events=row.events + 1))

    @on(Delivered)
    def delivered(self, event: Delivered, record: Recorded, views: Views[ParcelRow]) -> None:
        views.update(record.id, lambda row: replace(row, delivered=True, events=row.events + 1))


class CityRow(msgspec.Struct, frozen=True):
    parcels: int = 0
    grams: int = 0


class Cities(Projection[CityRow]):
    """One row per city, from the parcels of all partitions."""

    @on(Sent)
    def sent(self, event: Sent, record: Recorded, views: Views[CityRow]) -> None:
        views.update(
            event.city,
            lambda row: CityRow(row.parcels + 1, row.grams + event.grams),
            start=CityRow(),
        )

    def merge(self, left: CityRow, right: CityRow) -> CityRow:
        return CityRow(left.parcels + right.parcels, left.grams + right.grams)


class CountRow(msgspec.Struct, frozen=True):
    events: int = 0


class Counts(Projection[CountRow]):
    """Counts every event of a parcel: an event that is applied twice or not at all shows."""

    @on(Sent, Weighed, Delivered)
    def any(
        self, event: Sent | Weighed | Delivered, record: Recorded, views: Views[CountRow]
    ) -> None:
        views.update(record.id, lambda row: CountRow(row.events + 1), start=CountRow())


class Doubled(Counts, name="counts", version=2):
    """Counts each event twice: other rows, and so another version."""

    def handle(self, record: Recorded) -> Any:
        operations = super().handle(record)
        return [*operations, *operations]


class TallyRow(msgspec.Struct, frozen=True):
    events: int = 0
    order: int = 0


class Tally(Projection[TallyRow]):
    """One row per parcel that tells an event left out, applied twice or out of order.

    It cannot apply those of the parcels that are ``broken``.
    """

    broken: ClassVar[frozenset[str]] = frozenset()

    @on(Sent, Weighed, Delivered)
    def any(
        self, event: Sent | Weighed | Delivered, record: Recorded, views: Views[TallyRow]
    ) -> None:
        if record.id in self.broken:
            raise ArithmeticError(record.id)
        views.update(
            record.id,
            lambda row: TallyRow(row.events + 1, crc32(b"%d %d" % (row.order, record.version))),
            start=TallyRow(),
        )


events = EventRegistry([Sent, Weighed, Delivered, Lost])
model = ReadModel([Parcels, Cities, Counts], events)
parcels = model.projection("parcels")
cities = model.projection("cities")
counts = model.projection("counts")

# As patient as a test: a lease must outlast a slow machine, a look must not.
QUICK = WorkerSettings(lease_ms=3_000, poll_ms=50, retry_ms=20, longest_retry_ms=100)

_ids = CommandIds()


def parcel(id_: object) -> StreamId:
    return StreamId("parcel", str(id_))


def only(*classes: type[Projection[Any]]) -> ReadModel:
    """A read model of these projections alone."""
    return ReadModel(classes, events)


NEWER = only(Doubled).projection("counts")


async def record(store: EventStore, stream: StreamId, *new: Event) -> None:
    """Append events at the end of a stream."""
    outcome = await appended(store, stream, *new)
    assert isinstance(outcome, Committed), outcome


async def appended(store: EventStore, stream: StreamId, *new: Event) -> Outcome:
    """What the store says to events behind those that it has now."""
    expected = await store.head(stream)
    encoded = [NewEvent(events.encode(event)) for event in new]
    return await store.append(Append(stream, expected, _ids.next(), encoded))


async def record_many(store: EventStore, streams: Sequence[StreamId], new: Event) -> None:
    """Append one event to the beginning of each of these streams."""
    encoded = [NewEvent(events.encode(new))]
    by_partition: dict[int, list[Append]] = {}
    for stream in streams:
        append = Append(stream, 0, _ids.next(), encoded)
        by_partition.setdefault(store.keys.partition(stream), []).append(append)
    for appends in by_partition.values():
        for outcome in await store.append_many(appends):
            assert isinstance(outcome, Committed)


async def view_of(store: EventStore, projection: Projection[Any]) -> dict[str, Any]:
    """All rows of a view with at most 1,000 rows."""
    page = await find(store, projection, limit=1_000)
    assert page.next is None
    return dict(page.rows)


async def until(
    store: EventStore,
    condition: Callable[[list[PartitionStatus]], bool],
    projection: Projector = counts,
) -> list[PartitionStatus]:
    """The status of a projection as soon as it is as wanted."""
    with anyio.fail_after(20):
        while not condition(found := await status(store, projection)):
            await anyio.sleep(0.01)
    return found


@asynccontextmanager
async def working(
    store: EventStore, read_model: ReadModel = model, settings: WorkerSettings = QUICK
) -> AsyncGenerator[Worker]:
    """A worker beside the body of the block; it leaves gracefully."""
    worker = Worker(store, read_model, settings=settings)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(worker.run)
        yield worker
        tasks.cancel_scope.cancel()
