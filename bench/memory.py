"""Bytes of server memory per event, against a server with its default stream nodes."""

from collections.abc import Iterator, Sequence

import uvloop

from bench.domain import Deposited
from bench.domain import domain as accounts
from bench.figure import Figure, Pair, figure, server
from examples.orders.domain import Item, OrderApproved, OrderDelivered, OrderPlaced, OrderShipped
from examples.orders.domain import domain as orders
from whence import open_store
from whence.store.append import Append, NewEvent
from whence.store.eventstore import EventStore
from whence.store.ids import CommandIds, StreamId

STREAMS = 4_000
DEFAULT_NODE_BYTES = 4_096
BYTES = 200
ITEMS = (Item("book-4711", 2, 1_500), Item("lamp-12", 1, 4_999))
ORDER = (OrderPlaced("355971cbe54e13e5", ITEMS), OrderApproved(), OrderShipped("DHL"))


def figures() -> Iterator[Figure]:
    # What the writer says of an event beside its data: the name of its type, and its command id.
    said = len("Deposited") + len(CommandIds().next())
    order = [
        NewEvent(orders.write_model.events.encode(event)) for event in (*ORDER, OrderDelivered())
    ]
    for name, stream in {
        f"5 events of {BYTES} bytes of data": [_deposited(BYTES)] * 5,
        f"5 events of {BYTES} bytes with type and command id": [_deposited(BYTES - said)] * 5,
        f"1 event of {BYTES} bytes of data": [_deposited(BYTES)],
        "an order of 4 events": order,
    }.items():
        yield uvloop.run(_measure(f"memory, {name} per stream, feed included", stream))


def _deposited(size: int) -> NewEvent:
    """An event whose data has exactly so many bytes."""
    encode = accounts.write_model.events.encode
    without = len(encode(Deposited(1, 1, "")).data)
    event = NewEvent(encode(Deposited(1, 1, "r" * (size - without))))
    assert len(event.encoded.data) == size
    return event


async def _measure(name: str, stream: Sequence[NewEvent]) -> Figure:
    ours = await _bytes_per_event(stream)
    default = await _bytes_per_event(stream, DEFAULT_NODE_BYTES)
    return figure(name, Pair(ours, default), "bytes/event", "stream-node-max-bytes 4096")


async def _bytes_per_event(events: Sequence[NewEvent], node_bytes: int | None = None) -> float:
    with server("everysec") as running:
        async with open_store(running.url, durability="relaxed") as store:
            if node_bytes is not None:
                await store.ask("CONFIG", "SET", "stream-node-max-bytes", node_bytes)
            before = await used_memory(store)
            await _fill(store, events)
            return (await used_memory(store) - before) / (STREAMS * len(events))


async def _fill(store: EventStore, events: Sequence[NewEvent]) -> None:
    """One command for each event; the streams grow side by side, as in a system at work."""
    ids = CommandIds()
    for version, event in enumerate(events):
        for first in range(0, STREAMS, 100):
            streams = [StreamId("account", str(n)) for n in range(first, first + 100)]
            await store.append_many([Append(s, version, ids.next(), [event]) for s in streams])


async def used_memory(store: EventStore) -> int:
    text: bytes = await store.ask("INFO", "memory")
    _, _, rest = text.partition(b"used_memory:")
    return int(rest.split(b"\r\n", 1)[0])
