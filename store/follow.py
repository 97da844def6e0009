"""Following the log: what it holds, then what is added to it, without a seam between the two."""

import heapq
import itertools
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing

from whence.store.address import CALL_TIMEOUT
from whence.store.arrivals import new_pointers
from whence.store.errors import CorruptStore
from whence.store.eventstore import EventStore
from whence.store.feed import Pointer, check_contiguous
from whence.store.reading import merge_key
from whence.store.recorded import Recorded
from whence.store.wire import Command, Reply, Wire, call_reading

# Events per partition that are held in memory at a time.
FOLLOW_PAGE = 100
# Milliseconds of silence after which it looks whether the log still is as long as it was.
BLOCK_MS = 1_000


async def follow(
    store: EventStore,
    *,
    partitions: Sequence[int] | None = None,
    after: Mapping[int, int] | None = None,
) -> AsyncGenerator[Recorded]:
    """The events of partitions from a position on, each once, and then each new one as it comes.

    It never ends by itself: cancel the task, or leave the loop and call ``aclose``. The events of a
    partition come in the order of its feed; those that arrive together from several partitions are
    merged by moment. There is no border between old and new to lose an event at: both are read by
    the same command, which asks for what lies after a position.

    Args:
        partitions: which ones; all unless given.
        after: positions, not included, by partition; 0 where none is given. To see only what is
            new, give those of ``feed_heads``; to go on later, keep
            ``positions[record.partition] = record.position``.

    Raises:
        StoreUnavailable, ServerRefused: the server cannot be read; follow again from where it was.
        CorruptStore: a position is missing, an event is not where the feed says, or the log was
            rolled back.
    """
    positions = starting(store, partitions, after)
    async with aclosing(follow_pointers(store, positions)) as pages:
        async for pointers in pages:
            for record in merged(await store.fetch(pointers)):
                positions[record.partition] = record.position
                yield record


def starting(
    store: EventStore, partitions: Sequence[int] | None, after: Mapping[int, int] | None
) -> dict[int, int]:
    """The positions to begin behind, as ``follow`` takes them."""
    chosen = range(store.keys.partitions) if partitions is None else partitions
    return {number: (after or {}).get(number, 0) for number in chosen}


async def follow_pointers(
    store: EventStore, positions: Mapping[int, int]
) -> AsyncGenerator[list[Pointer]]:
    """Pages of the feeds, each behind ``positions`` as they are when it is asked for.

    The pointers of a partition stand together and in their order. Raises as ``follow``.
    """
    wire = store.address.wire(BLOCK_MS / 1000 + CALL_TIMEOUT)
    try:
        while True:
            pointers = await _next_pointers(store, wire, positions)
            if pointers:
                yield pointers
            else:
                await _check_length(store, positions)
    finally:
        await wire.close()


async def _next_pointers(
    store: EventStore, wire: Wire, positions: Mapping[int, int]
) -> list[Pointer]:
    """What follows the positions, partition by partition; empty after a second of silence."""

    async def call(commands: Sequence[Command]) -> list[Reply]:
        return await call_reading(wire, commands, store.address.shown)

    arrived = await new_pointers(store, call, positions, FOLLOW_PAGE, BLOCK_MS)
    found: list[Pointer] = []
    for number, pointers in arrived.items():
        if isinstance(pointers, CorruptStore):
            raise pointers
        check_contiguous(number, positions[number], pointers)
        found += pointers
    return found


async def _check_length(store: EventStore, positions: Mapping[int, int]) -> None:
    """A log that was rolled back would be silent until it is as long again, and then differ."""
    heads = await store.feed_heads(list(positions))
    for (number, position), head in zip(positions.items(), heads, strict=True):
        if head < position:
            raise CorruptStore(
                f"the feed of partition {number} was read up to position {position} and now ends "
                f"at {head}: the log was rolled back (a restored backup, a failover)"
            )


def merged(records: Sequence[Recorded]) -> Iterator[Recorded]:
    """Records that stand together by partition, merged by moment."""
    feeds = [list(group) for _, group in itertools.groupby(records, _partition)]
    return heapq.merge(*feeds, key=merge_key)


def _partition(record: Recorded) -> int:
    return record.partition
