"""The feeds: every event once, in the order in which it was stored."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

from whence.store.eventstore import EventStore
from whence.store.follow import follow
from whence.store.ids import StreamId
from whence.store.reading import read_all, read_feed, streams_of
from whence.store.recorded import Recorded
from whence.testing.conformance.accounts import Deposited, Opened, account, append_of
from whence.testing.conformance.reads import listed
from whence.testing.conformance.suite import Suite

STREAMS = 12
PATIENCE = 20.0  # seconds


async def write(store: EventStore, versions: range) -> None:
    """One event for each of the streams, version by version."""
    for version in versions:
        for number in range(STREAMS):
            await store.append(append_of(account(str(number)), version, Deposited(version)))


async def take(found: AsyncIterator[Recorded], count: int) -> list[Recorded]:
    async with asyncio.timeout(PATIENCE):
        return [await anext(found) for _ in range(count)]


class Feeds(Suite):
    """What can be read of all streams together."""

    async def test_the_feed_points_to_every_event_of_its_partition_in_order(
        self, store: EventStore
    ) -> None:
        streams = [account(str(i)) for i in range(40)]
        for version in range(3):
            await store.append_many([append_of(s, version, Deposited(version)) for s in streams])

        for partition in range(store.keys.partitions):
            mine = [s for s in streams if store.keys.partition(s) == partition]
            records = await store.fetch(await store.pointers(partition, after=0))
            assert [r.position for r in records] == list(range(1, 3 * len(mine) + 1))
            assert [(r.stream, r.version) for r in records] == [
                (s, version) for version in (1, 2, 3) for s in mine
            ]
            assert await store.feed_head(partition) == 3 * len(mine)

    async def test_the_feed_can_be_read_on_from_any_position(self, store: EventStore) -> None:
        await store.append(append_of(account(), 0, *[Deposited(i) for i in range(10)]))
        partition = store.keys.partition(account())

        pointers = await store.pointers(partition, after=4, limit=3)

        assert [pointer.position for pointer in pointers] == [5, 6, 7]
        assert [r.version for r in await store.fetch(pointers)] == [5, 6, 7]

    async def test_an_empty_feed_is_empty(self, store: EventStore) -> None:
        assert await store.pointers(0, after=0) == []
        assert await store.feed_head(0) == 0
        assert await store.fetch([]) == []

    async def test_a_feed_is_read_up_and_down(self, store: EventStore) -> None:
        await store.append(append_of(account(), 0, *[Deposited(i) for i in range(450)]))
        partition = store.keys.partition(account())

        up = await listed(read_feed(store, partition))
        down = await listed(read_feed(store, partition, backwards=True))
        part = await listed(read_feed(store, partition, after=10, before=400, limit=300))

        assert [record.position for record in up] == list(range(1, 451))
        assert down == up[::-1]
        assert part == up[10:310]

    async def test_the_whole_log_is_merged_by_moment(self, store: EventStore) -> None:
        await write(store, range(3))

        up = await listed(read_all(store))

        assert len({(record.stream, record.version) for record in up}) == 3 * STREAMS
        assert up == sorted(up, key=lambda r: (r.occurred_at_us, r.partition, r.position))
        assert await listed(read_all(store, backwards=True)) == up[::-1]

    async def test_the_streams_of_a_type_are_each_named_once(self, store: EventStore) -> None:
        await write(store, range(2))
        await store.append(append_of(StreamId("other", "1"), 0, Opened("ann")))

        found = await listed(streams_of(store, "account"))

        assert sorted(found) == sorted(account(str(number)) for number in range(STREAMS))

    async def test_who_follows_the_log_gets_what_is_there_and_then_what_comes(
        self, store: EventStore
    ) -> None:
        await write(store, range(2))
        async with aclosing(follow(store)) as found:
            old = await take(found, 2 * STREAMS)
            waiting = asyncio.create_task(take(found, STREAMS))
            await write(store, range(2, 3))
            new = await waiting

        assert sorted({record.version for record in old}) == [1, 2]
        assert [record.version for record in new] == [3] * STREAMS
        assert len({(r.stream, r.version) for r in [*old, *new]}) == 3 * STREAMS

    async def test_one_can_follow_from_given_positions_on(self, store: EventStore) -> None:
        await write(store, range(2))
        numbers = range(store.keys.partitions)
        heads = dict(zip(numbers, await store.feed_heads(numbers), strict=True))
        await write(store, range(2, 4))
        async with aclosing(follow(store, after=heads)) as found:
            new = await take(found, 2 * STREAMS)

        assert sorted(record.version for record in new) == [3] * STREAMS + [4] * STREAMS
