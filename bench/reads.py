"""Reading states through the runtime, against the newest events read in a bare loop."""

import asyncio
import itertools
import time
from collections.abc import Iterator

import uvloop

from bench.domain import REFERENCE, Account, Deposited, domain
from bench.figure import Figure, compared, figure, server
from whence import Runtime, open_store
from whence.store.append import Append, NewEvent
from whence.store.eventstore import EventStore
from whence.store.ids import CommandIds, StreamId

AGGREGATES = 10_000
EVENTS_EACH = 3
CALLERS = 64
GETS = 40_000

_AGAINST = f"XREVRANGE of the last event in a loop, {CALLERS} per call"


def figures() -> Iterator[Figure]:
    with server("everysec") as running:
        yield uvloop.run(_measure(running.url, "live aggregates", 2 * AGGREGATES))
        yield uvloop.run(_measure(running.url, "aggregates that are not live", 1))


async def _measure(url: str, what: str, max_actors: int) -> Figure:
    async with (
        open_store(url, namespace=f"reads-{max_actors}", durability="relaxed") as store,
        Runtime(store, domain.write_model, max_actors=max_actors) as runtime,
    ):
        await _fill(store)
        await _gets(runtime, AGGREGATES)
        pair = await compared(lambda: _gets(runtime, GETS), lambda: _bare(store))
    return figure(f"reads, {CALLERS} callers, {what}", pair, "gets/s", _AGAINST)


async def _fill(store: EventStore) -> None:
    ids = CommandIds()
    event = NewEvent(domain.write_model.events.encode(Deposited(1, 1, REFERENCE)))
    for first in range(0, AGGREGATES, 100):
        streams = [StreamId("account", str(number)) for number in range(first, first + 100)]
        await store.append_many([Append(s, 0, ids.next(), [event] * EVENTS_EACH) for s in streams])


async def _gets(runtime: Runtime, count: int) -> float:
    numbers = iter(range(count))

    async def caller() -> None:
        for number in numbers:
            found = await runtime.get(Account, str(number % AGGREGATES))
            assert found.version == EVENTS_EACH

    start = time.perf_counter()
    await asyncio.gather(*[caller() for _ in range(CALLERS)])
    return count / (time.perf_counter() - start)


async def _bare(store: EventStore) -> float:
    streams = itertools.cycle([StreamId("account", str(number)) for number in range(AGGREGATES)])
    calls = GETS // CALLERS
    start = time.perf_counter()
    for _ in range(calls):
        keys = [store.keys.stream(stream) for stream in itertools.islice(streams, CALLERS)]
        replies = await store.replies([("XREVRANGE", key, "+", "-", "COUNT", 1) for key in keys])
        assert {len(reply) for reply in replies} == {1}
    return calls * CALLERS / (time.perf_counter() - start)
