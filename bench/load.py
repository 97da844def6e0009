"""Loading aggregates from their events, against the same replies unread; and with a snapshot."""

import time
from collections.abc import Iterator

import uvloop

from bench.domain import REFERENCE, Account, Deposited, domain
from bench.figure import Figure, compared, figure, server
from whence import Runtime, open_store
from whence.actors.load import load, load_many
from whence.store.append import Append, NewEvent
from whence.store.eventstore import EventStore
from whence.store.ids import CommandIds, StreamId

AGGREGATES = 2_000
EVENTS_EACH = 50
PER_CALL = 100
LONG = 100_000
# What happened since the snapshot.
TAIL = 250

_events = domain.write_model.events
_kind = domain.write_model.aggregate("account")
_many = [StreamId("account", f"many-{number}") for number in range(AGGREGATES)]
_long = StreamId("account", "long")


def figures() -> Iterator[Figure]:
    with server("everysec") as running:
        yield uvloop.run(_many_aggregates(running.url))
        yield uvloop.run(_one_long_aggregate(running.url))


async def _many_aggregates(url: str) -> Figure:
    async with open_store(url, namespace="load", durability="relaxed") as store:
        for first in range(0, AGGREGATES, PER_CALL):
            streams = _many[first : first + PER_CALL]
            await store.append_many([_deposits(stream, 0, EVENTS_EACH) for stream in streams])
        pair = await compared(lambda: _load(store), lambda: _replies(store))
    name = f"load, {AGGREGATES} aggregates of {EVENTS_EACH} events, {PER_CALL} per call"
    return figure(name, pair, "events/s", "the same XRANGE replies without reading them")


async def _load(store: EventStore) -> float:
    start = time.perf_counter()
    for first in range(0, AGGREGATES, PER_CALL):
        found = await load_many(store, _events, _kind, _many[first : first + PER_CALL])
        assert {one.version for one in found} == {EVENTS_EACH}
    return AGGREGATES * EVENTS_EACH / (time.perf_counter() - start)


async def _replies(store: EventStore) -> float:
    start = time.perf_counter()
    for first in range(0, AGGREGATES, PER_CALL):
        keys = [store.keys.stream(stream) for stream in _many[first : first + PER_CALL]]
        replies = await store.replies([("XRANGE", key, "-", "+") for key in keys])
        assert {len(reply) for reply in replies} == {EVENTS_EACH}
    return AGGREGATES * EVENTS_EACH / (time.perf_counter() - start)


async def _one_long_aggregate(url: str) -> Figure:
    async with (
        open_store(url, namespace="load-plain", durability="relaxed") as plain,
        open_store(url, namespace="load-kept", durability="relaxed") as kept,
    ):
        for store in (plain, kept):
            for version in range(0, LONG - TAIL, 250):
                await store.append(_deposits(_long, version, 250))
        async with Runtime(kept, domain.write_model) as runtime:
            await runtime.send(Account.deposit, _long.id, amount=1, reference=REFERENCE)
        for store in (plain, kept):
            head = await store.head(_long)
            await store.append(_deposits(_long, head, LONG - head))
        pair = await compared(lambda: _load_long(kept), lambda: _load_long(plain))
    name = f"load, one aggregate of {LONG} events, a snapshot {TAIL - 1} events ago"
    return figure(name, pair, "ms", "the same without a snapshot")


async def _load_long(store: EventStore) -> float:
    """Milliseconds."""
    start = time.perf_counter()
    loaded = await load(store, _events, _kind, _long)
    assert loaded.version == LONG
    return (time.perf_counter() - start) * 1000


def _deposits(stream: StreamId, version: int, count: int) -> Append:
    events = [
        NewEvent(_events.encode(Deposited(1, version + n, REFERENCE))) for n in range(1, count + 1)
    ]
    return Append(stream, version, CommandIds().next(), events)
