"""Making a view anew gives the view that the live run gave."""

from typing import Any

import anyio
import pytest

from tests.projections.domain import (
    Delivered,
    ParcelRow,
    Parcels,
    Sent,
    Weighed,
    cities,
    counts,
    only,
    parcel,
    parcels,
    record,
    record_many,
    view_of,
    working,
)
from whence.projections.rebuild import rebuild
from whence.projections.settings import WorkerSettings
from whence.projections.status import status, wait_until_caught_up
from whence.store.errors import LeaseLost, ProjectionFailed
from whence.store.eventstore import EventStore


async def some_history(store: EventStore) -> None:
    streams = [parcel(n) for n in range(200)]
    await record_many(store, streams[:120], Sent("Riga", 10))
    await record_many(store, streams[120:], Sent("Oslo", 20))
    for stream in streams[::7]:
        await record(store, stream, Weighed(11), Delivered())


@pytest.mark.parametrize("projection", [parcels, cities, counts], ids=lambda p: p.name)
async def test_a_rebuilt_view_equals_the_live_one(store: EventStore, projection: Any) -> None:
    async with working(store):
        await some_history(store)
        await wait_until_caught_up(store, projection)
    live = await view_of(store, projection)
    seen: list[tuple[int, int]] = []
    report = await rebuild(
        store,
        projection,
        progress=lambda done, total: seen.append((done, total)),
        settings=WorkerSettings(batch=10),
    )
    assert await view_of(store, projection) == live
    assert report.events == 258
    assert seen[-1] == (258, 258)
    assert seen == sorted(seen)


async def test_what_does_not_come_from_an_event_is_gone_after_a_rebuild(store: EventStore) -> None:
    await record(store, parcel(1), Sent("Riga"))
    await store.ask("HSET", store.keys.view(0, "parcels"), "ghost", b'{"city":"?","grams":0}')
    await rebuild(store, parcels)
    assert await view_of(store, parcels) == {"1": ParcelRow("Riga", 0)}


async def test_the_live_worker_stands_back_and_goes_on_afterwards(store: EventStore) -> None:
    async with working(store) as worker:
        await some_history(store)
        await wait_until_caught_up(store, counts)
        for _ in range(3):
            await rebuild(store, counts)
            await record(store, parcel(1), Weighed(12))
        await wait_until_caught_up(store, counts)
        with anyio.fail_after(10):
            while {x.owner for x in await status(store, counts)} != {worker.owner}:
                await anyio.sleep(0.01)
    assert (await view_of(store, counts))["1"].events == 4
    live = await view_of(store, counts)
    await rebuild(store, counts)
    assert await view_of(store, counts) == live


async def test_a_rebuild_that_is_stopped_is_finished_by_the_worker(store: EventStore) -> None:
    await some_history(store)
    with anyio.CancelScope() as scope:

        def stop(done: int, total: int) -> None:
            assert done < total
            scope.cancel()

        await rebuild(store, counts, progress=stop, settings=WorkerSettings(batch=1))
    assert scope.cancelled_caught
    assert {x.owner for x in await status(store, counts)} == {""}
    async with working(store):
        await wait_until_caught_up(store, counts)
    assert sum(row.events for row in (await view_of(store, counts)).values()) == 258


async def test_a_second_rebuild_ends_the_first(store: EventStore) -> None:
    await some_history(store)

    async def meanwhile() -> None:
        await rebuild(store, counts)

    async with anyio.create_task_group() as tasks:
        begun = False

        def start_another(done: int, total: int) -> None:
            nonlocal begun
            if not begun:
                begun = True
                tasks.start_soon(meanwhile)

        with pytest.raises(LeaseLost):
            await rebuild(store, counts, progress=start_another, settings=WorkerSettings(batch=1))
    assert sum(row.events for row in (await view_of(store, counts)).values()) == 258


async def test_an_event_that_cannot_be_applied_is_named_where_the_projection_halts(
    store: EventStore,
) -> None:
    class Halting(Parcels, name="parcels", on_failure="halt"):
        pass

    await record(store, parcel(1), Weighed(5))  # no row to update: it was never sent
    with pytest.raises(
        ProjectionFailed, match=r"parcels cannot apply Weighed, version 1 of parcel/1"
    ):
        await rebuild(store, only(Halting).projection("parcels"))
    assert {x.owner for x in await status(store, parcels)} == {""}
