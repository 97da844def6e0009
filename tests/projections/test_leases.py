"""One worker at a time: leases, fencing, and what a second worker does."""

import time
from collections.abc import Sequence

import anyio
import pytest

from tests.projections.domain import (
    QUICK,
    CountRow,
    Counts,
    Sent,
    Weighed,
    counts,
    only,
    parcel,
    record,
    record_many,
    until,
    view_of,
    working,
)
from whence.projections.advance import Advance
from whence.projections.checkpoint import Checkpoints
from whence.projections.lease import Lease, Leases
from whence.projections.settings import WorkerSettings
from whence.projections.status import status, wait_until_caught_up
from whence.projections.worker import Worker
from whence.store.errors import LeaseLost
from whence.store.eventstore import EventStore
from whence.store.feed import Pointer

LONG = 60_000


class Hands:
    """The steps of a worker, one by one."""

    def __init__(self, store: EventStore, owner: str, ttl_ms: int = LONG) -> None:
        self.store = store
        wire = store.address.wire()
        self.close = wire.close
        self.leases = Leases(store, counts.name, owner, ttl_ms, wire)
        self.checkpoints = Checkpoints(store, counts.name, wire)
        self.advance = Advance(store, counts, self.checkpoints)

    async def read(self, leases: Sequence[Lease]) -> list[tuple[Lease, Sequence[Pointer]]]:
        return [(x, await self.store.pointers(x.partition, after=x.position)) for x in leases]


async def test_a_lease_is_given_to_one_worker_only(store: EventStore) -> None:
    first, second, third = (Hands(store, name) for name in ("first", "second", "third"))
    assert [x.partition for x in await first.leases.acquire([0, 1])] == [0, 1]
    assert [x.partition for x in await second.leases.acquire([1, 2])] == [2]
    await first.leases.release([0, 1, 2])
    assert [x.partition for x in await third.leases.acquire([0, 1, 2])] == [0, 1]
    for hands in (first, second, third):
        await hands.close()


async def test_every_acquisition_has_a_higher_epoch(store: EventStore) -> None:
    hands = Hands(store, "one")
    epochs = [(await hands.leases.acquire([0]))[0].epoch for _ in range(3)]
    assert epochs == [1, 2, 3]
    await hands.close()


async def test_a_view_without_a_checkpoint_begins_anew(store: EventStore) -> None:
    """Or its events would be counted a second time."""
    await record(store, parcel(1), Sent("Riga"), Weighed(1))
    for _ in range(2):
        async with working(store, only(Counts)):
            await wait_until_caught_up(store, counts)
        assert await view_of(store, counts) == {"1": CountRow(2)}
        await store.ask("DEL", store.keys.checkpoint(store.keys.partition(parcel(1)), "counts"))


async def test_a_lease_ends_unless_it_is_renewed(store: EventStore) -> None:
    first, second = Hands(store, "first", 300), Hands(store, "second")
    (lease,) = await first.leases.acquire([0])
    first_end = lease.ends_at
    while time.monotonic() < first_end + 0.1:
        assert await first.leases.renew([lease]) == []
        await anyio.sleep(0.01)
    assert await second.leases.acquire([0]) == []
    with anyio.fail_after(5):
        while not await second.leases.acquire([0]):
            await anyio.sleep(0.01)
    assert lease.ended
    assert await first.leases.renew([lease]) == [lease]
    await first.close()
    await second.close()


async def test_a_worker_that_lost_its_lease_changes_nothing(store: EventStore) -> None:
    """The zombie: paused between reading and commit, it wakes up when another one is at work."""
    await record(store, parcel(1), Sent("Riga"), Weighed(1))
    partition = store.keys.partition(parcel(1))
    zombie, other = Hands(store, "zombie"), Hands(store, "other")
    pieces = await zombie.read(await zombie.leases.acquire([partition]))

    # The other one has not moved yet, so only the epoch tells them apart.
    (theirs,) = await other.leases.acquire([partition], force=True)
    done, errors = await zombie.advance.apply(pieces)
    assert done == {}
    assert isinstance(errors[partition], LeaseLost)
    assert await view_of(store, counts) == {}

    await other.advance.apply(await other.read([theirs]))
    done, errors = await zombie.advance.apply(pieces)
    assert done == {}
    assert isinstance(await zombie.checkpoints.note_failure(pieces[0][0], "zombie"), LeaseLost)
    assert isinstance((await zombie.checkpoints.reset([pieces[0][0]]))[0], LeaseLost)
    assert await view_of(store, counts) == {"1": CountRow(2)}
    await zombie.close()
    await other.close()


async def test_the_same_batch_is_not_committed_twice_under_one_epoch(store: EventStore) -> None:
    await record(store, parcel(1), Sent("Riga"))
    hands = Hands(store, "one")
    (lease,) = await hands.leases.acquire([store.keys.partition(parcel(1))])
    pieces = await hands.read([lease])
    await hands.advance.apply(pieces)
    lease.position = 0  # as if the reply to the commit had been lost
    _, errors = await hands.advance.apply(pieces)
    assert isinstance(errors[lease.partition], LeaseLost)
    assert await view_of(store, counts) == {"1": CountRow(1)}
    await hands.close()


async def test_a_worker_stops_before_its_lease_ends(store: EventStore) -> None:
    await record(store, parcel(1), Sent("Riga"))
    hands = Hands(store, "one")
    (lease,) = await hands.leases.acquire([store.keys.partition(parcel(1))])
    lease.ends_at = 0.0
    _, errors = await hands.advance.apply(await hands.read([lease]))
    assert isinstance(errors[lease.partition], LeaseLost)
    assert await view_of(store, counts) == {}
    await hands.close()


async def test_a_worker_keeps_its_leases_by_renewing_them(store: EventStore) -> None:
    key = store.keys.lease(0, "counts")
    async with working(store, only(Counts), WorkerSettings(lease_ms=1_500, poll_ms=50)):
        await until(store, lambda found: all(x.owner for x in found))
        lowest = await store.ask("PTTL", key)
        with anyio.fail_after(10):
            while (left := await store.ask("PTTL", key)) <= lowest:
                lowest = left
                await anyio.sleep(0.01)
        assert {x.epoch for x in await status(store, counts)} == {1}


async def test_a_second_worker_stands_by_and_takes_over_at_once(store: EventStore) -> None:
    settings = WorkerSettings(lease_ms=LONG, poll_ms=50)
    async with working(store, only(Counts), settings) as first:
        await until(store, lambda found: {x.owner for x in found} == {first.owner})
        async with anyio.create_task_group() as tasks:
            second = Worker(store, only(Counts), settings=settings)
            tasks.start_soon(second.run)
            await record(store, parcel(1), Sent("Riga"))
            await wait_until_caught_up(store, counts)
            assert {x.owner for x in await status(store, counts)} == {first.owner}
            async with working(store, only(Counts), settings):  # a third one changes nothing
                await record(store, parcel(1), Weighed(1))
                await wait_until_caught_up(store, counts)
            tasks.cancel_scope.cancel()
    found = await status(store, counts)
    assert {x.owner for x in found} == {""}
    assert {x.epoch for x in found} == {1}


async def test_a_worker_that_ends_gives_way_without_waiting_for_the_lease(
    store: EventStore,
) -> None:
    settings = WorkerSettings(lease_ms=LONG, poll_ms=50)
    second = Worker(store, only(Counts), settings=settings)
    async with anyio.create_task_group() as tasks:
        async with working(store, only(Counts), settings) as first:
            await until(store, lambda found: {x.owner for x in found} == {first.owner})
            tasks.start_soon(second.run)
        await until(store, lambda found: {x.owner for x in found} == {second.owner})
        tasks.cancel_scope.cancel()


async def test_after_a_crash_the_next_worker_waits_for_the_lease_and_counts_right(
    store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    streams = [parcel(n) for n in range(1_000)]
    await record_many(store, streams, Sent("Riga"))
    settings = WorkerSettings(lease_ms=500, poll_ms=20, batch=7)

    async def forget(*_: object) -> None:
        """A killed worker releases nothing."""

    async with anyio.create_task_group() as tasks:
        with monkeypatch.context() as patch:
            patch.setattr(Leases, "release", forget)
            async with working(store, only(Counts), settings) as first:
                await until(store, lambda found: sum(x.position for x in found) > 100)
        assert {x.owner for x in await status(store, counts)} == {first.owner}
        second = Worker(store, only(Counts), settings=settings)
        tasks.start_soon(second.run)
        await wait_until_caught_up(store, counts, timeout_s=20)
        tasks.cancel_scope.cancel()
    assert await view_of(store, counts) == {s.id: CountRow(1) for s in streams}
    assert min(x.epoch for x in await status(store, counts)) >= 2


async def test_workers_beside_each_other_apply_nothing_twice(store: EventStore) -> None:
    streams = [parcel(n) for n in range(300)]
    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(Worker(store, only(Counts), settings=QUICK).run)
        await record_many(store, streams, Sent("Riga"))
        for n in range(9):
            for stream in streams[n::10]:
                await record(store, stream, Weighed(n), Weighed(n))
            # Ownership moves while events arrive.
            thief = Hands(store, f"thief-{n}", 100)
            await thief.leases.acquire([n % 8], force=True)
            await thief.close()
        await wait_until_caught_up(store, counts, timeout_s=20)
        tasks.cancel_scope.cancel()
    expected = {s.id: CountRow(await store.head(s)) for s in streams}
    assert await view_of(store, counts) == expected
