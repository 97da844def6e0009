"""Bytes of server memory per event, against a server with its default stream nodes."""

from collections.abc import Iterator

import uvloop

from bench.domain import REFERENCE, Deposited, domain
from bench.figure import Figure, Pair, figure, server
from whence import open_store
from whence.store.append import Append, NewEvent
from whence.store.eventstore import EventStore
from whence.store.ids import CommandIds, StreamId

STREAMS = 4_000
EVENTS_PER_STREAM = 5
DEFAULT_NODE_BYTES = 4_096


def figures() -> Iterator[Figure]:
    yield uvloop.run(_measure())


async def _measure() -> Figure:
    ours = await _bytes_per_event()
    default = await _bytes_per_event(DEFAULT_NODE_BYTES)
    name = f"memory, {EVENTS_PER_STREAM} events of 200 bytes per stream, feed included"
    return figure(name, Pair(ours, default), "bytes/event", "stream-node-max-bytes 4096")


async def _bytes_per_event(node_bytes: int | None = None) -> float:
    with server("everysec") as running:
        async with open_store(running.url, durability="relaxed") as store:
            if node_bytes is not None:
                await store.ask("CONFIG", "SET", "stream-node-max-bytes", node_bytes)
            before = await used_memory(store)
            await _fill(store)
            return (await used_memory(store) - before) / (STREAMS * EVENTS_PER_STREAM)


async def _fill(store: EventStore) -> None:
    ids = CommandIds()
    event = NewEvent(domain.write_model.events.encode(Deposited(1, 1, REFERENCE)))
    for version in range(EVENTS_PER_STREAM):
        for first in range(0, STREAMS, 100):
            streams = [StreamId("account", str(n)) for n in range(first, first + 100)]
            await store.append_many([Append(s, version, ids.next(), [event]) for s in streams])


async def used_memory(store: EventStore) -> int:
    text: bytes = await store.ask("INFO", "memory")
    _, _, rest = text.partition(b"used_memory:")
    return int(rest.split(b"\r\n", 1)[0])
