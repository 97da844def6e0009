"""Following the log: what it held and what comes, each event once, and no seam between."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing

import pytest

from tests.store.domain import Deposited, Opened, account, append_of
from whence.store import follow as following
from whence.store.errors import CorruptStore, FeedGap
from whence.store.eventstore import EventStore, open_store
from whence.store.follow import follow
from whence.store.reading import read_all
from whence.store.recorded import Recorded

STREAMS = 6


@pytest.fixture(autouse=True)
def _small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "FOLLOW_PAGE", 3)
    monkeypatch.setattr(following, "BLOCK_MS", 50)


async def write(store: EventStore, versions: range) -> None:
    """One event for each stream, version by version."""
    for version in versions:
        for number in range(STREAMS):
            event = Opened("ann") if version == 0 else Deposited(version)
            await store.append(append_of(account(str(number)), version, event))


async def take(found: AsyncIterator[Recorded], count: int) -> list[Recorded]:
    async with asyncio.timeout(20):
        return [await anext(found) for _ in range(count)]


class Collector:
    """Follows in a task of its own, and keeps what came."""

    def __init__(self, found: AsyncIterator[Recorded]) -> None:
        self.seen: list[Recorded] = []
        self._task = asyncio.create_task(self._collect(found))

    async def _collect(self, found: AsyncIterator[Recorded]) -> None:
        async for record in found:
            self.seen.append(record)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not condition():
                assert not self._task.done(), self._task
                await asyncio.sleep(0.005)

    async def stop(self) -> None:
        self._task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await self._task


async def test_what_is_there_comes_first_and_then_what_is_added(store: EventStore) -> None:
    await write(store, range(2))
    async with aclosing(follow(store)) as found:
        old = await take(found, 2 * STREAMS)
        await write(store, range(2, 3))
        new = await take(found, STREAMS)

    assert {record.version for record in old} == {1, 2}
    assert {record.version for record in new} == {3}


async def test_across_the_border_each_event_comes_once_and_in_order(store: EventStore) -> None:
    await write(store, range(4))
    collector = Collector(follow(store))
    # The first events are old, and while they are read more come.
    await collector.until(lambda: bool(collector.seen))
    await write(store, range(4, 20))
    await collector.until(lambda: len(collector.seen) >= 20 * STREAMS)
    await collector.stop()

    stored = [record async for record in read_all(store)]
    assert len(collector.seen) == len(stored) == 20 * STREAMS
    for partition in range(store.keys.partitions):
        seen = [record for record in collector.seen if record.partition == partition]
        assert seen == [record for record in stored if record.partition == partition]


async def test_one_partition_is_followed_alone(store: EventStore) -> None:
    partition = store.keys.partition(account("0"))
    collector = Collector(follow(store, partitions=[partition]))
    await write(store, range(5))
    stored = [record async for record in read_all(store) if record.partition == partition]
    await collector.until(lambda: len(collector.seen) >= len(stored))
    await collector.stop()

    assert collector.seen == stored


async def test_it_begins_after_the_positions_given(store: EventStore) -> None:
    await write(store, range(3))
    numbers = range(store.keys.partitions)
    heads = dict(zip(numbers, await store.feed_heads(numbers), strict=True))
    async with aclosing(follow(store, after=heads)) as found:
        waiting = asyncio.create_task(take(found, STREAMS))
        await write(store, range(3, 4))
        new = await waiting

    assert [record.version for record in new] == [4] * STREAMS
    assert len({record.stream for record in new}) == STREAMS


async def test_what_arrives_together_is_merged_by_moment(
    store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "FOLLOW_PAGE", 100)
    await write(store, range(4))
    async with aclosing(follow(store)) as found:
        seen = await take(found, 4 * STREAMS)

    assert seen == [record async for record in read_all(store)]


async def test_a_lost_connection_costs_no_event(valkey_url: str, namespace: str) -> None:
    async with open_store(valkey_url, namespace=namespace) as store:
        collector = Collector(follow(store))
        for version in range(6):
            await write(store, range(version, version + 1))
            await collector.until(
                lambda count=(version + 1) * STREAMS: len(collector.seen) >= count  # type: ignore[misc]
            )
            await store.ask("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        await collector.stop()

        assert len(collector.seen) == 6 * STREAMS
        assert len({(r.partition, r.position) for r in collector.seen}) == 6 * STREAMS


async def test_a_gap_is_noticed(store: EventStore) -> None:
    await write(store, range(3))
    partition = store.keys.partition(account("0"))
    await store.ask("XDEL", store.keys.feed(partition), "0-2")

    with pytest.raises(FeedGap):
        await take(follow(store), 3 * STREAMS)


async def test_a_log_that_was_rolled_back_is_noticed(store: EventStore) -> None:
    await write(store, range(3))
    async with aclosing(follow(store)) as found:
        await take(found, 3 * STREAMS)
        partition = store.keys.partition(account("0"))
        await store.ask("DEL", store.keys.feed(partition))

        with pytest.raises(CorruptStore, match=r"was read up to position .* and now ends at 0"):
            await take(found, 1)


async def test_cancelling_ends_it_and_closes_its_connection(
    valkey_url: str, namespace: str
) -> None:
    async def connections(store: EventStore) -> int:
        listed: bytes = await store.ask("CLIENT", "LIST")
        return listed.count(b"cmd=xread ")

    async with open_store(valkey_url, namespace=namespace) as store:
        collector = Collector(follow(store))
        async with asyncio.timeout(10):
            while not await connections(store):
                await asyncio.sleep(0.005)
            await collector.stop()
            while await connections(store):
                await asyncio.sleep(0.005)
