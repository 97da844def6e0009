"""Reading ahead: what it must not change, whatever becomes of the leases meanwhile."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

import anyio
import pytest

from tests.projections.domain import (
    Sent,
    Tally,
    TallyRow,
    Weighed,
    only,
    parcel,
    record,
    until,
    view_of,
    working,
)
from tests.projections.stored import damage
from whence.projections.group import Group
from whence.projections.lease import Lease, Leases
from whence.projections.parked import parked_sequences
from whence.projections.reader import Reader
from whence.projections.settings import WorkerSettings
from whence.projections.status import wait_until_caught_up
from whence.store.eventstore import EventStore
from whence.store.feed import Piece, Pointer
from whence.store.ids import StreamId
from whence.store.reading import read_feed

MOST = 4
EACH = 10  # events of each stream

tally = only(Tally).projection("tally")


class Desk:
    """A reader, and the leases that it reads for; commits are made up."""

    def __init__(self, store: EventStore) -> None:
        self.store = store
        self.held: dict[int, Lease] = {}
        self.wire = store.address.wire()
        self.group = Group(store, "tally", 50)
        self.leases = Leases(store, "tally", "me", 60_000, self.wire)
        self.reader = Reader(store, self.group, self.held, MOST, in_turn=2)
        self.seen: dict[int, list[int]] = {}

    async def take(self, partitions: Sequence[int], position: int = 0) -> None:
        """Begin at a position, as after another look at the checkpoint."""
        for lease in await self.leases.acquire(partitions):
            lease.position = position
            self.held[lease.partition] = lease
            self.seen[lease.partition] = [*range(1, position + 1)]
        await self.group.set_back([self.held[number] for number in partitions])

    async def read(self) -> list[tuple[Lease, Sequence[Pointer]]]:
        active = [lease for lease in self.held.values() if lease.active]
        pieces, errors = await self.reader.read(active, wait=True)
        assert errors == {}
        return pieces

    def commit(self, pieces: Sequence[tuple[Lease, Sequence[Pointer]]]) -> None:
        for lease, pointers in pieces:
            self.seen[lease.partition] += [pointer.position for pointer in pointers]
            lease.position = pointers[-1].position

    async def read_to_the_end(self) -> None:
        """Until every partition that is held is read as far as it goes."""
        heads = await self.store.feed_heads(list(self.held))
        with anyio.fail_after(30):
            while [lease.position for lease in self.held.values()] != heads:
                self.commit(await self.read())
        for number, head in zip(self.held, heads, strict=True):
            assert self.seen[number] == [*range(1, head + 1)]

    async def read_ahead(self) -> None:
        """Commit one step; then the next ones have come already."""
        while not self.reader.coming:
            self.commit(await self.read())
        await self.reader.settle()


@asynccontextmanager
async def desk_of(store: EventStore) -> AsyncGenerator[Desk]:
    desk = Desk(store)
    try:
        yield desk
    finally:
        desk.reader.forget()
        await desk.group.close()
        await desk.wire.close()


async def fill(store: EventStore, partitions: Sequence[int]) -> list[StreamId]:
    """Three streams of 10 events in each of these partitions."""
    wanted = dict.fromkeys(partitions, 3)
    streams: list[StreamId] = []
    for stream in map(parcel, range(10_000)):
        number = store.keys.partition(stream)
        if wanted.get(number):
            wanted[number] -= 1
            streams.append(stream)
            await record(store, stream, Sent("Riga"), *[Weighed(n) for n in range(EACH - 1)])
    return streams


class TestWhileAPartitionIsBehind:
    @pytest.mark.parametrize("partitions", [[0], [0, 1], [0, 1, 2, 3, 4]])
    async def test_each_event_comes_once_and_in_order(
        self, store: EventStore, partitions: list[int]
    ) -> None:
        await fill(store, partitions)
        async with desk_of(store) as desk:
            await desk.take(partitions)
            await desk.read_to_the_end()

    async def test_what_comes_next_has_been_read_with_its_events(self, store: EventStore) -> None:
        await fill(store, [0, 1])
        async with desk_of(store) as desk:
            await desk.take([0, 1])
            await desk.read_ahead()
            assert desk.reader.coming <= {0, 1}

            for _, pointers in await desk.read():
                assert isinstance(pointers, Piece)
                assert pointers.records is not None

    async def test_nothing_is_read_ahead_at_the_head(self, store: EventStore) -> None:
        await fill(store, [0])
        async with desk_of(store) as desk:
            await desk.take([0])
            await desk.read_to_the_end()
            while desk.reader.coming:
                assert await desk.read() == []
            await record(store, await first_in(store, 0), Weighed(1))
            desk.commit(await desk.read())
            assert desk.seen[0] == [*range(1, 3 * EACH + 2)]
            assert not desk.reader.coming


async def first_in(store: EventStore, partition: int) -> StreamId:
    async for found in read_feed(store, partition, limit=1):
        return found.stream
    raise AssertionError("an empty feed")


class TestTheFirstRead:
    """Nobody knows yet how far the partitions are behind."""

    async def test_brings_no_more_than_a_step(self, store: EventStore) -> None:
        await fill(store, range(5))
        async with desk_of(store) as desk:
            await desk.take(range(5))
            pieces = await desk.read()
            assert 0 < sum(len(pointers) for _, pointers in pieces) <= 2 * MOST
            desk.commit(pieces)
            assert desk.reader.coming
            await desk.read_to_the_end()

    async def test_brings_something_of_each_partition(self, store: EventStore) -> None:
        """Even where there are more of them than a step has entries."""
        partitions = range(store.keys.partitions)
        await fill(store, partitions)
        async with desk_of(store) as desk:
            await desk.take(partitions)
            desk.reader.less()
            assert len(partitions) > 2 * MOST // 2
            pieces = await desk.read()
            assert [len(pointers) for _, pointers in pieces] == [1] * len(partitions)
            desk.commit(pieces)
            await desk.read_to_the_end()


class TestWhatWasReadAhead:
    async def test_is_dropped_with_a_lease_that_was_lost(self, store: EventStore) -> None:
        await fill(store, [0, 1])
        async with desk_of(store) as desk:
            await desk.take([0, 1])
            await desk.read_ahead()
            del desk.held[0]
            while desk.reader.coming:
                pieces = await desk.read()
                assert 0 not in [lease.partition for lease, _ in pieces]
                desk.commit(pieces)
            await desk.read_to_the_end()

    async def test_is_dropped_when_its_partition_was_halted(self, store: EventStore) -> None:
        await fill(store, [0, 1])
        async with desk_of(store) as desk:
            await desk.take([0, 1])
            await desk.read_ahead()
            desk.held[0].halted = True
            for _ in range(20):
                pieces = await desk.read()
                assert 0 not in [lease.partition for lease, _ in pieces]
                desk.commit(pieces)
            await desk.take([0], desk.held[0].position)
            await desk.read_to_the_end()

    @pytest.mark.parametrize("position", [0, 2, MOST])
    async def test_is_not_what_a_new_lease_goes_on_with(
        self, store: EventStore, position: int
    ) -> None:
        """Wherever its checkpoint is, and even where the old one was."""
        await fill(store, [0, 1])
        async with desk_of(store) as desk:
            await desk.take([0, 1])
            await desk.read_ahead()
            old = desk.held[0]
            await desk.take([0], position)
            pieces = await desk.read()
            assert old not in [lease for lease, _ in pieces]
            desk.commit(pieces)
            await desk.read_to_the_end()

    async def test_is_forgotten_when_all_go_back_to_their_checkpoints(
        self, store: EventStore
    ) -> None:
        await fill(store, [0, 1, 2])
        async with desk_of(store) as desk:
            await desk.take([0, 1, 2])
            await desk.read_ahead()
            standing = {number: lease.position for number, lease in desk.held.items()}
            desk.reader.forget()
            assert not desk.reader.coming
            desk.held.clear()
            for number, position in standing.items():
                await desk.take([number], position)
            await desk.read_to_the_end()

    async def test_is_forgotten_in_the_middle_of_the_read(self, store: EventStore) -> None:
        before = asyncio.all_tasks()
        await fill(store, [0, 1])
        async with desk_of(store) as desk:
            await desk.take([0, 1])
            while not desk.reader.coming:
                desk.commit(await desk.read())
            desk.reader.forget()
            await desk.take([0], desk.held[0].position)
            await desk.take([1], desk.held[1].position)
            await desk.read_to_the_end()
        with anyio.fail_after(10):
            while asyncio.all_tasks() - before:
                await anyio.sleep(0.01)

    async def test_is_read_again_after_another_reader_has_moved_the_group(
        self, store: EventStore
    ) -> None:
        await fill(store, [0])
        async with desk_of(store) as desk:
            await desk.take([0])
            await desk.read_ahead()
            at = desk.held[0].position
            for moved in (at + 11, 2):
                await store.ask("XGROUP", "SETID", store.keys.feed(0), "tally", f"0-{moved}")
            await desk.read_to_the_end()

    async def test_is_not_taken_for_a_partition_that_delivers_nothing(
        self, store: EventStore
    ) -> None:
        await fill(store, [0, 1])
        async with desk_of(store) as desk:
            await desk.take([0, 1, 2])
            await desk.read_ahead()
            desk.reader.quiet([])
            coming = desk.reader.coming
            assert coming
            quiet = desk.reader.quiet([*desk.held.values()])
            assert {lease.partition for lease in quiet} == {0, 1, 2} - coming


class TestAViewFarBehind:
    """Workers that read ahead, in small steps, and what happens to them on the way."""

    settings = WorkerSettings(lease_ms=3_000, poll_ms=50, retry_ms=20, batch=2)

    async def expected(self, store: EventStore) -> dict[str, TallyRow]:
        """A sequential fold of the log."""
        rows: dict[str, TallyRow] = {}
        for number in range(store.keys.partitions):
            async for found in read_feed(store, number):
                for operation in tally.handle(found):
                    row = rows.get(operation.key, operation.start)
                    rows[operation.key] = operation.change(row)
        return rows

    async def test_is_handed_over_at_the_last_commit(self, store: EventStore) -> None:
        await fill(store, range(8))
        async with working(store, only(Tally), self.settings):
            await until(store, lambda found: sum(x.position for x in found) >= 10, tally)
            async with working(store, only(Tally), self.settings):
                await until(store, lambda found: len({x.owner for x in found}) == 2, tally)
            await wait_until_caught_up(store, tally, timeout_s=60)
        assert await view_of(store, tally) == await self.expected(store)

    async def test_goes_on_where_another_worker_has_left_it(self, store: EventStore) -> None:
        """However often, in the middle of what it has read ahead."""
        await fill(store, range(4))
        for target in (8, 20, 40, 70):
            async with working(store, only(Tally), self.settings):
                await until(store, lambda f, t=target: sum(x.position for x in f) >= t, tally)  # type: ignore[misc]
        async with working(store, only(Tally), self.settings):
            await wait_until_caught_up(store, tally, timeout_s=60)
        assert await view_of(store, tally) == await self.expected(store)

    async def test_of_which_another_owner_took_the_leases(self, store: EventStore) -> None:
        await fill(store, range(8))
        wire = store.address.wire()
        thief = Leases(store, "tally", "thief", 60_000, wire)
        async with working(store, only(Tally), self.settings):
            await until(store, lambda found: sum(x.position for x in found) >= 10, tally)
            for number in range(8):
                await thief.acquire([number], force=True)
                await thief.release([number])
            await wait_until_caught_up(store, tally, timeout_s=60)
        await wire.close()
        assert await view_of(store, tally) == await self.expected(store)

    async def test_passes_what_is_parked_and_makes_up_for_it(self, store: EventStore) -> None:
        streams = await fill(store, range(4))
        broken = frozenset(stream.id for stream in streams[::4])

        class Breaking(Tally, name="tally"):
            pass

        Breaking.broken = broken
        async with working(store, only(Breaking), self.settings):
            await wait_until_caught_up(store, tally, timeout_s=60)
        assert {found.stream.id for found in await parked_sequences(store, tally)} == broken
        view = await view_of(store, tally)
        assert view == {k: v for k, v in (await self.expected(store)).items() if k not in broken}
        async with working(store, only(Tally), self.settings):
            await until(store, lambda found: not any(x.parked for x in found), tally)
        assert await view_of(store, tally) == await self.expected(store)

    async def test_parks_what_was_damaged_when_its_turn_comes(self, store: EventStore) -> None:
        streams = await fill(store, range(4))
        expected = await self.expected(store)
        broken = streams[::4]
        for stream in broken:
            await damage(store, stream, {EACH // 2})
        async with working(store, only(Tally), self.settings):
            await wait_until_caught_up(store, tally, timeout_s=60)
        found = await parked_sequences(store, tally)
        assert {x.stream: x.note.version for x in found} == dict.fromkeys(broken, EACH // 2)
        intact = {stream.id for stream in streams} - {stream.id for stream in broken}
        view = await view_of(store, tally)
        assert {k: v for k, v in view.items() if k in intact} == {
            k: v for k, v in expected.items() if k in intact
        }

    async def test_of_which_a_partition_is_halted(self, store: EventStore) -> None:
        streams = await fill(store, range(4))
        number = store.keys.partition(streams[0])

        class Halting(Tally, name="tally", on_failure="halt"):
            pass

        Halting.broken = frozenset([streams[0].id])
        async with working(store, only(Halting), self.settings):
            found = await until(
                store,
                lambda f: f[number].failure != "" and sum(x.lag for x in f) == f[number].lag,
                tally,
            )
            assert found[number].lag > 0
            Halting.broken = frozenset()
            await wait_until_caught_up(store, tally, timeout_s=60)
        assert await view_of(store, tally) == await self.expected(store)
