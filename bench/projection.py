"""Events per second through one projection, against reading the same events and doing nothing."""

import time
from collections.abc import Iterator

import anyio
import uvloop

from bench.domain import REFERENCE, Deposited, domain
from bench.figure import Figure, compared, figure, server
from whence import open_store
from whence.projections.status import wait_until_caught_up
from whence.projections.worker import Worker
from whence.store.append import Append, NewEvent
from whence.store.eventstore import EventStore
from whence.store.ids import CommandIds, StreamId

EVENTS = 100_000
AGGREGATES = 2_000
PAGE = 200


def figures() -> Iterator[Figure]:
    with server("everysec") as running:
        yield uvloop.run(_measure(running.url))


async def _measure(url: str) -> Figure:
    async with open_store(url, namespace="projection", durability="relaxed") as store:
        await _fill(store)
        pair = await compared(lambda: _project(store), lambda: _read(store), rounds=3)
    against = "reading the feed and its events, 200 at a time"
    return figure(f"projection, {AGGREGATES} aggregates", pair, "events/s", against)


async def _fill(store: EventStore) -> None:
    ids = CommandIds()
    for number in range(EVENTS // AGGREGATES):
        event = NewEvent(domain.write_model.events.encode(Deposited(1, number, REFERENCE)))
        for first in range(0, AGGREGATES, 100):
            streams = [StreamId("account", str(n)) for n in range(first, first + 100)]
            await store.append_many([Append(s, number, ids.next(), [event]) for s in streams])


async def _read(store: EventStore) -> float:
    start = time.perf_counter()
    count = 0
    for partition in range(store.keys.partitions):
        position = 0
        while pointers := await store.pointers(partition, after=position, limit=PAGE):
            count += len(await store.fetch(pointers))
            position = pointers[-1].position
    assert count == EVENTS
    return count / (time.perf_counter() - start)


async def _project(store: EventStore) -> float:
    """A worker from an empty view to the head of the log."""
    projection = domain.read_model.projection("balances")
    await _forget(store, projection.name)
    start = finished = time.perf_counter()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(Worker(store, domain.read_model).run)
        await wait_until_caught_up(store, projection, timeout_s=300)
        finished = time.perf_counter()
        tasks.cancel_scope.cancel()
    return EVENTS / (finished - start)


async def _forget(store: EventStore, name: str) -> None:
    keys = store.keys
    await store.ask_many(
        [
            ("DEL", keys.view(partition, name), keys.checkpoint(partition, name))
            for partition in range(keys.partitions)
        ]
    )
