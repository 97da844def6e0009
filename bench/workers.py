"""Two worker processes on one view against one, both from the first event to the last.

A worker takes some 9 µs per event of a view in Redis, and the server 3: on two cores there is room
for a second worker beside the server only if the handlers are what takes the time. The clock runs
from when the processes are told to begin: it takes a second or two until they share the partitions.
"""

import itertools
import time
from collections.abc import Iterator
from contextlib import ExitStack

import uvloop

from bench.figure import Figure, compared, figure, server
from bench.orders import EVENTS_EACH, fill
from bench.views import laborious
from bench.working import Job, worker_process
from whence import open_store
from whence.projections.status import wait_until_caught_up
from whence.store.eventstore import EventStore

ORDERS = 60_000
ROUNDS = 3
NAMESPACE = "workers"


def figures() -> Iterator[Figure]:
    with server("everysec") as running:
        yield uvloop.run(_measure(running.url))


async def _measure(url: str) -> Figure:
    names = (f"view-{number}" for number in itertools.count())
    async with open_store(url, namespace=NAMESPACE, durability="relaxed") as store:
        await fill(store, ORDERS)
        pair = await compared(
            lambda: _project(store, url, next(names), 2),
            lambda: _project(store, url, next(names), 1),
            ROUNDS,
        )
    return figure("workers, two processes, handlers of 100 µs", pair, "events/s", "one process")


async def _project(store: EventStore, url: str, name: str, processes: int) -> float:
    """Events per second, from when the processes are told to begin."""
    with ExitStack() as stack:
        job = Job(url, NAMESPACE, laborious, name)
        workers = [stack.enter_context(worker_process(job)) for _ in range(processes)]
        start = time.perf_counter()
        for worker in workers:
            worker.begin()
        await wait_until_caught_up(store, laborious(name).projector(name), timeout_s=300)
        events = ORDERS * EVENTS_EACH / (time.perf_counter() - start)
        for worker in workers:
            worker.stop()
    return events
