"""How much memory events take in their streams, from a sample of those that were written last."""

import math
from collections.abc import Sequence
from typing import NamedTuple, cast

from whence.store.eventstore import EventStore
from whence.store.feed import parse_pointers
from whence.store.ids import StreamId
from whence.store.wire import Command, Reply

# What the embedded server sets.
NODE_BYTES = 256

_SAMPLE = 200
# A server never makes a node of a stream larger than this ahead of its use.
_LARGEST_AHEAD = 4_096
# What ``stream-node-max-entries`` is unless somebody sets it.
_EVENTS_PER_NODE = 100
# Bytes for each event beside the values themselves: lengths, flags, the id.
_FRAME = 30
# Bytes for each node beside its events: names of fields, its place in the tree.
_NODE_FRAME = 80


class MemoryUse(NamedTuple):
    """What was found in ``streams`` streams of ``events`` events.

    Args:
        memory: bytes that the server counts for them, 0 if it does not show it.
        written: bytes of the events themselves.
    """

    streams: int
    events: int
    memory: int
    written: int

    @property
    def bytes_per_event(self) -> float:
        return self.memory / self.events if self.events else 0.0

    def saved_per_event(self, node_bytes: int) -> float:
        """About how many bytes less an event would take with NODE_BYTES than with ``node_bytes``.

        The server makes the last node of a stream larger than it needs, and what is left empty in
        it is what a smaller node saves; but more of them have more frames. 0 means no limit.
        """
        if not self.events:
            return 0.0
        saved = self._taken(node_bytes) - self._taken(NODE_BYTES)
        return max(0.0, saved * self.streams / self.events)

    def _taken(self, node_bytes: int) -> float:
        """What the nodes of a stream of average length take."""
        events, size = self.events / self.streams, self.written / self.events
        fitting = node_bytes / size if node_bytes else _EVENTS_PER_NODE
        full = min(max(1, int(fitting)), _EVENTS_PER_NODE)
        nodes = math.ceil(events / full)
        last = (events - (nodes - 1) * full) * size
        ahead = min(node_bytes or _LARGEST_AHEAD, _LARGEST_AHEAD)
        return nodes * _NODE_FRAME + events * size + max(0.0, ahead - last)


async def measure(store: EventStore) -> MemoryUse:
    """Look at up to 200 streams.

    Raises:
        StoreUnavailable, ServerRefused: the server cannot be read.
    """
    keys = [store.keys.stream(stream) for stream in await _recent(store)]
    lengths = await store.ask_many([("XLEN", key) for key in keys])
    lasts = await store.ask_many([("XREVRANGE", key, "+", "-", "COUNT", 1) for key in keys])
    sizes = await store.replies([("MEMORY", "USAGE", key) for key in keys])
    seen = all(isinstance(size, int) for size in sizes)
    return MemoryUse(
        len(keys),
        sum(lengths),
        sum(sizes) if seen else 0,
        sum(length * _size(last) for length, last in zip(lengths, lasts, strict=True)),
    )


async def _recent(store: EventStore) -> list[StreamId]:
    per_partition = max(1, _SAMPLE // store.keys.partitions)
    tails: list[Command] = [
        ("XREVRANGE", store.keys.feed(partition), "+", "-", "COUNT", per_partition)
        for partition in range(store.keys.partitions)
    ]
    replies = await store.ask_many(tails)
    streams = {pointer.stream for reply in replies for pointer in parse_pointers(reply)}
    return list(streams)[:_SAMPLE]


def _size(entries: Reply) -> int:
    """The bytes of the entries of a reply: their values, for names are stored once a node."""
    parsed = cast("Sequence[tuple[bytes, Sequence[bytes]]]", entries)
    return sum(_FRAME + sum(map(len, fields[1::2])) for _, fields in parsed)
