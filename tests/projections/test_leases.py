"""One worker at a time: leases, fencing, and what a second worker does."""

import time
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack

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
from whence.projections.membership import Membership
from whence.projections.settings import WorkerSettings
from whence.projections.status import PartitionStatus, status, wait_until_caught_up
from whence.projections.worker import Worker
from whence.store.errors import LeaseLost
from whence.store.eventstore import EventStore, open_store
from whence.store.feed import Pointer

LONG = 60_000


class Hands:
    """The steps of a worker, one by one."""

    def __init__(self, store: EventStore, owner: str, ttl_ms: int = LONG) -> None:
        self.store = store
        wire = store.address.wire()
        self.close = wire.close
        self.wire = wire
        self.leases = Leases(store, counts.name, owner, ttl_ms, wire)
        self.checkpoints = Checkpoints(store, counts.name, wire)
        self.advance = Advance(store, counts, self.checkpoints)

    async def read(self, leases: Sequence[Lease]) -> list[tuple[Lease, Sequence[Pointer]]]:
        return [(x, await self.store.pointers(x.partition, after=x.position)) for x in leases]


def owners_of(found: Sequence[PartitionStatus]) -> Counter[str]:
    """How many partitions each worker has."""
    return Counter(partition.owner for partition in found)


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
    # Renewed after 2 seconds; a machine may be too busy for 4 more, and no lease is lost.
    async with working(store, only(Counts), WorkerSettings(lease_ms=6_000, poll_ms=50)):
        await until(store, lambda found: all(x.owner for x in found))
        lowest = await store.ask("PTTL", key)
        with anyio.fail_after(20):
            while (left := await store.ask("PTTL", key)) <= lowest:
                lowest = left
                await anyio.sleep(0.01)
        assert {x.epoch for x in await status(store, counts)} == {1}


async def test_a_worker_that_comes_gets_its_share_and_leaves_it_to_the_others(
    store: EventStore,
) -> None:
    settings = WorkerSettings(lease_ms=LONG, poll_ms=50)
    async with working(store, only(Counts), settings) as first:
        await until(store, lambda found: owners_of(found) == {first.owner: 8})
        await record(store, parcel(1), Sent("Riga"))
        async with (
            working(store, only(Counts), settings) as second,
            working(store, only(Counts), settings) as third,
        ):
            everyone = {first.owner, second.owner, third.owner}
            await until(store, lambda found: owners_of(found).keys() == everyone)
            await until(store, lambda found: sorted(owners_of(found).values()) == [2, 3, 3])
            await record(store, parcel(1), Weighed(1))
            await wait_until_caught_up(store, counts)
        await until(store, lambda found: owners_of(found) == {first.owner: 8})
        await record(store, parcel(1), Weighed(2))
        await wait_until_caught_up(store, counts)
    found = await status(store, counts)
    assert {x.owner for x in found} == {""}
    # A partition that lay well has not moved.
    assert 1 in {x.epoch for x in found}
    assert await view_of(store, counts) == {"1": CountRow(3)}


async def test_more_workers_than_partitions_have_one_each_or_none(
    valkey_url: str, namespace: str
) -> None:
    settings = WorkerSettings(lease_ms=LONG, poll_ms=50)
    async with (
        open_store(valkey_url, namespace=namespace, partitions=3) as store,
        AsyncExitStack() as stack,
    ):
        for _ in range(5):
            await stack.enter_async_context(working(store, only(Counts), settings))
        await until(store, lambda found: [*owners_of(found).values()] == [1, 1, 1])


async def test_a_worker_that_is_alive_and_takes_nothing_is_not_waited_for(
    store: EventStore,
) -> None:
    settings = WorkerSettings(lease_ms=1_000, poll_ms=50)
    wire = store.address.wire()
    stuck = Membership(store, counts.name, "stuck", LONG, wire)
    await stuck.beat()
    async with working(store, only(Counts), settings) as worker:
        await until(store, lambda found: owners_of(found) == {worker.owner: 4, "": 4})
        await until(store, lambda found: owners_of(found) == {worker.owner: 8})
    await wire.close()


class TestMembership:
    async def test_knows_those_who_live_and_what_they_have(self, store: EventStore) -> None:
        hands = Hands(store, "first")
        await hands.leases.acquire([1])
        first, second = (
            Membership(store, counts.name, name, LONG, hands.wire) for name in ("first", "second")
        )
        assert await first.muster([0, 1]) == (["first"], {0: "", 1: "first"})
        assert set((await second.muster([]))[0]) == {"first", "second"}
        await first.leave()
        await first.leave()
        assert (await second.muster([1])) == (["second"], {1: "first"})
        await hands.close()

    async def test_drops_a_worker_that_says_nothing_for_too_long(self, store: EventStore) -> None:
        wire = store.address.wire()
        dying = Membership(store, counts.name, "dying", 300, wire)
        living = Membership(store, counts.name, "living", LONG, wire)
        await dying.beat()
        assert set((await living.muster([]))[0]) == {"dying", "living"}
        with anyio.fail_after(5):
            while set((await living.muster([]))[0]) != {"living"}:
                await anyio.sleep(0.01)
        await wire.close()

    async def test_a_clock_that_was_set_back_keeps_nobody_alive(self, store: EventStore) -> None:
        wire = store.address.wire()
        tomorrow = (time.time() + 86_400) * 1000
        await store.ask("HSET", store.keys.workers("counts"), "gone", f"{tomorrow:.0f} 1000")
        living = Membership(store, counts.name, "living", LONG, wire)
        assert (await living.muster([]))[0] == ["living"]
        await wire.close()

    async def test_is_forgotten_with_its_last_worker(self, store: EventStore) -> None:
        wire = store.address.wire()
        await Membership(store, counts.name, "short", 300, wire).beat()
        await Membership(store, counts.name, "long", LONG, wire).beat()
        await Membership(store, counts.name, "short", 300, wire).beat()
        left = await store.ask("PTTL", store.keys.workers("counts"))
        assert 300 < left <= LONG
        await wire.close()


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
