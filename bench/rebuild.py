"""A million events, and one of their views made anew beside the live one, until it is switched."""

import time
from collections.abc import Iterator

import uvloop

from bench.figure import Figure, compared, figure, server
from bench.orders import EVENTS_EACH, fill
from bench.projection import AGAINST, read
from bench.views import redis
from whence import open_store
from whence.projections.rebuild import rebuild
from whence.store.eventstore import EventStore

EVENTS = 1_000_000
NAME = "order-list"


def figures() -> Iterator[Figure]:
    with server("everysec") as running:
        yield uvloop.run(_measure(running.url))


async def _measure(url: str) -> Figure:
    async with open_store(url, namespace="rebuild", durability="relaxed") as store:
        # Two events by each command: filling takes no longer than what is measured.
        await fill(store, EVENTS // EVENTS_EACH, per_append=2)
        pair = await compared(lambda: _rebuild(store), lambda: read(store, EVENTS), rounds=1)
    seconds = EVENTS / pair.value
    name = f"rebuild, {EVENTS:,} events of orders, a view in Redis, {seconds:.1f} s"
    return figure(name, pair, "events/s", AGAINST)


async def _rebuild(store: EventStore) -> float:
    start = time.perf_counter()
    report = await rebuild(store, redis(NAME).projector(NAME))
    seconds = time.perf_counter() - start
    assert report.events >= EVENTS, report
    return EVENTS / seconds
