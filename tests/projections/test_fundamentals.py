"""What projections do, from the first row on."""

import pytest

from tests.projections.domain import (
    Cities,
    CityRow,
    Delivered,
    Lost,
    ParcelRow,
    Parcels,
    Sent,
    Weighed,
    cities,
    only,
    parcel,
    parcels,
    record,
    view_of,
    working,
)
from tests.store.servers import EVERYWHERE
from whence.projections.query import find, get
from whence.projections.settings import WorkerSettings
from whence.projections.status import status, wait_until_caught_up, wait_until_seen
from whence.store.errors import UnknownField
from whence.store.eventstore import EventStore

pytestmark = EVERYWHERE


async def test_an_event_becomes_a_row(store: EventStore) -> None:
    await record(store, parcel(1), Sent("Riga", 300))
    async with working(store):
        await wait_until_caught_up(store, parcels)
    assert await get(store, parcels, "1") == ParcelRow("Riga", 300)
    assert await get(store, parcels, "2") is None


async def test_later_events_change_the_row_in_their_order(store: EventStore) -> None:
    async with working(store):
        await record(store, parcel(1), Sent("Riga", 300), Weighed(310))
        await record(store, parcel(1), Weighed(320), Delivered())
        await wait_until_caught_up(store, parcels)
    assert await get(store, parcels, "1") == ParcelRow("Riga", 320, delivered=True, events=4)


async def test_a_view_that_is_far_behind_catches_up_in_every_partition(store: EventStore) -> None:
    """More partitions than are read in one turn, and several turns for each."""
    for n in range(60):
        await record(store, parcel(n), Sent("Riga", 1), *[Weighed(g) for g in range(2, 2 + n % 7)])
    async with working(store, only(Parcels), WorkerSettings(batch=3, poll_ms=100)):
        await wait_until_caught_up(store, parcels)
        await record(store, parcel("late"), Sent("Oslo"))
        await wait_until_caught_up(store, parcels)
    rows = {str(n): ParcelRow("Riga", 1 + n % 7, events=1 + n % 7) for n in range(60)}
    assert await view_of(store, parcels) == {**rows, "late": ParcelRow("Oslo", 0)}


async def test_events_without_a_handler_are_passed_over(store: EventStore) -> None:
    await record(store, parcel(1), Sent("Riga"), Lost())
    async with working(store):
        await wait_until_caught_up(store, parcels)
    assert await view_of(store, parcels) == {"1": ParcelRow("Riga", 0)}


async def test_rows_that_come_from_several_partitions_are_merged_when_read(
    store: EventStore,
) -> None:
    for n in range(30):
        await record(store, parcel(n), Sent("Riga" if n % 3 else "Oslo", 100))
    async with working(store):
        await wait_until_caught_up(store, cities)
    assert await get(store, cities, "Oslo") == CityRow(10, 1_000)
    assert await view_of(store, cities) == {"Oslo": CityRow(10, 1_000), "Riga": CityRow(20, 2_000)}


async def test_a_view_is_asked_by_the_values_of_its_fields(store: EventStore) -> None:
    await record(store, parcel("a"), Sent("Riga", 5))
    await record(store, parcel("b"), Sent("Oslo", 5), Delivered())
    await record(store, parcel("c"), Sent("Riga", 7), Delivered())
    async with working(store, only(Parcels)):
        await wait_until_caught_up(store, parcels)

    async def keys_where(**where: str) -> list[str]:
        return [key for key, _ in (await find(store, parcels, where=where)).rows]

    assert await keys_where(city="Riga") == ["a", "c"]
    assert await keys_where(grams="5") == ["a", "b"]
    assert await keys_where(delivered="true", city="Riga") == ["c"]
    assert await keys_where(city="riga") == []
    with pytest.raises(UnknownField, match=r"town.*city, grams, delivered, events"):
        await keys_where(town="Riga")


async def test_a_worker_goes_on_where_the_last_one_stopped(store: EventStore) -> None:
    await record(store, parcel(1), Sent("Riga"), Weighed(1))
    async with working(store):
        await wait_until_caught_up(store, parcels)
    await record(store, parcel(1), Weighed(2))
    async with working(store):
        await wait_until_caught_up(store, parcels)
    assert await get(store, parcels, "1") == ParcelRow("Riga", 2, events=3)


async def test_one_can_wait_until_a_view_has_seen_what_was_written(store: EventStore) -> None:
    await record(store, parcel(1), Sent("Riga"))
    partition = store.keys.partition(parcel(1))
    with pytest.raises(
        TimeoutError, match=r"is at position 0 .* not yet at 1: is a worker running"
    ):
        await wait_until_seen(store, parcels, {partition: 1}, timeout_s=0.05)
    async with working(store):
        await wait_until_seen(store, parcels, {partition: 1})
    assert await get(store, parcels, "1") is not None


async def test_the_status_tells_how_far_each_partition_is_and_who_has_it(
    store: EventStore,
) -> None:
    await record(store, parcel(1), Sent("Riga"), Weighed(1))
    partition = store.keys.partition(parcel(1))
    before = (await status(store, parcels))[partition]
    assert (before.position, before.head, before.lag, before.owner) == (0, 2, 2, "")
    kept = WorkerSettings(lease_ms=60_000, poll_ms=50)  # however busy the machine is
    async with working(store, only(Parcels, Cities), kept) as worker:
        await wait_until_caught_up(store, parcels)
        during = (await status(store, parcels))[partition]
    assert (during.position, during.lag, during.epoch) == (2, 0, 1)
    assert during.owner == worker.owner
    assert during.owner.startswith(worker.name)
    after = (await status(store, parcels))[partition]
    assert after == during._replace(owner="")
