"""Reading the log as a whole: the feed of a partition, all of them together, and what is in them.

Everything here is read in pages, so memory does not grow with the log. A feed tells the events of
its partition in the order in which they were stored; there is no such order between partitions.
"""

import asyncio
import heapq
from collections.abc import AsyncIterator, Mapping, Sequence

from whence.store.errors import FeedGap
from whence.store.eventstore import EventStore
from whence.store.feed import END, Pointer, parse_pointers
from whence.store.ids import StreamId
from whence.store.recorded import Recorded

# Events per partition that are held in memory at a time.
FEED_PAGE = 200
# Pointers are small, and of most of them nothing but the stream's name is wanted.
_POINTERS_PAGE = 2_000


async def read_feed(
    store: EventStore,
    partition: int,
    *,
    after: int = 0,
    before: int | None = None,
    limit: int | None = None,
    backwards: bool = False,
) -> AsyncIterator[Recorded]:
    """The events of one partition in the order in which they were stored, or from the last down.

    Args:
        after, before: positions, both not included.
        limit: at most so many.

    Raises:
        StoreUnavailable, ServerRefused: the server cannot be read.
        CorruptStore: a position is missing, or an event is not where the feed says.
    """
    pages = _pages_down if backwards else _pages_up
    left = END if limit is None else limit
    if left <= 0:
        return
    async for pointers in pages(store, partition, after, before, min(left, FEED_PAGE)):
        for record in await store.fetch(pointers[:left]):
            yield record
        left -= len(pointers)
        if left <= 0:
            return


async def _pages_up(
    store: EventStore, partition: int, after: int, before: int | None, size: int
) -> AsyncIterator[list[Pointer]]:
    while page := await store.pointers(partition, after=after, before=before, limit=size):
        yield page
        after = page[-1].position
        if len(page) < size:
            return


async def _pages_down(
    store: EventStore, partition: int, after: int, before: int | None, size: int
) -> AsyncIterator[list[Pointer]]:
    # Positions are contiguous, so the page below a position is known without reading backwards.
    head = await store.feed_head(partition)
    end = head + 1 if before is None else min(before, head + 1)
    while end > after + 1:
        start = max(after, end - 1 - size)
        page = await store.pointers(partition, after=start, before=end, limit=size)
        if len(page) < end - 1 - start:
            raise FeedGap(partition, start + len(page) + 1, end)
        yield page[::-1]
        end = start + 1


async def read_all(
    store: EventStore,
    *,
    after: Mapping[int, int] | None = None,
    before: Mapping[int, int] | None = None,
    limit: int | None = None,
    backwards: bool = False,
) -> AsyncIterator[Recorded]:
    """The events of all partitions, merged by the moment at which they occurred.

    Each partition's events come in the order of its feed; among the next events of all partitions
    the one that occurred first comes first (backwards: last), then the one of the lower partition.
    So where moments never go back within a feed, the whole is ordered by (moment, partition,
    position). Imported history goes back in its feed: it comes where its feed has it.

    Args:
        after, before: positions by partition, both not included. To go on later, keep
            ``positions[record.partition] = record.position`` and give it as ``after``
            (``before`` when reading backwards).
        limit: at most so many.

    Raises:
        StoreUnavailable, ServerRefused, CorruptStore: see ``read_feed``.
    """
    low, high = after or {}, before or {}
    feeds = [
        read_feed(
            store,
            partition,
            after=low.get(partition, 0),
            before=high.get(partition),
            limit=limit,
            backwards=backwards,
        )
        for partition in range(store.keys.partitions)
    ]
    left = END if limit is None else limit
    if left <= 0:
        return
    async for record in _merged(feeds, backwards=backwards):
        yield record
        left -= 1
        if left == 0:
            return


async def streams_of(
    store: EventStore, type_name: str, *, partition: int | None = None
) -> AsyncIterator[StreamId]:
    """The streams of one type, each once: the feeds tell, for each has its first event there.

    They come partition by partition, in the order in which they began. One that begins while this
    is read may come or not.

    Args:
        partition: only the streams of this one.

    Raises:
        StoreUnavailable, ServerRefused, CorruptStore: see ``read_feed``.
    """
    partitions = range(store.keys.partitions) if partition is None else [partition]
    for number in partitions:
        position = 0
        while found := await store.pointers(number, after=position, limit=_POINTERS_PAGE):
            for pointer in found:
                if pointer.version == 1 and pointer.stream.type == type_name:
                    yield pointer.stream
            position = found[-1].position


async def changed_last(store: EventStore, *, limit: int) -> list[Recorded]:
    """The last event of each of the streams that changed last, newest first; two round trips.

    Of each partition only the last ``limit`` events are looked at: a stream that changes all the
    time may hide others of its partition.

    Raises:
        StoreUnavailable, ServerRefused, CorruptStore: see ``read_feed``.
    """
    replies = await store.ask_many(
        [
            ("XREVRANGE", store.keys.feed(partition), "+", "-", "COUNT", limit)
            for partition in range(store.keys.partitions)
        ]
    )
    newest: dict[StreamId, Pointer] = {}
    for reply in replies:
        for pointer in parse_pointers(reply):
            newest.setdefault(pointer.stream, pointer)
    records = await store.fetch(list(newest.values()))
    return sorted(records, key=merge_key, reverse=True)[:limit]


async def _merged(
    feeds: Sequence[AsyncIterator[Recorded]], *, backwards: bool
) -> AsyncIterator[Recorded]:
    sign = -1 if backwards else 1
    first = await asyncio.gather(*[_next(feed) for feed in feeds])
    # No two events have one key, so two feeds are never compared.
    heads = [
        (_key(record, sign), record, feed)
        for feed, record in zip(feeds, first, strict=True)
        if record is not None
    ]
    heapq.heapify(heads)
    while heads:
        _, record, feed = heads[0]
        yield record
        following = await _next(feed)
        if following is None:
            heapq.heappop(heads)
        else:
            heapq.heapreplace(heads, (_key(following, sign), following, feed))


async def _next(feed: AsyncIterator[Recorded]) -> Recorded | None:
    return await anext(feed, None)


def _key(record: Recorded, sign: int) -> tuple[int, int, int]:
    moment, partition, position = merge_key(record)
    return (sign * moment, sign * partition, sign * position)


def merge_key(record: Recorded) -> tuple[int, int, int]:
    """What puts the events of several partitions in order; no two events have the same."""
    return (record.occurred_at_us, record.partition, record.position)
