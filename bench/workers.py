"""Two worker processes on one view against one, both from the first event to the last.

A worker takes some 9 µs per event of a view in Redis, and the server 3: on two cores there is room
for a second worker beside the server only if the handlers are what takes the time. The clock runs
from when the processes are told to begin: it takes a second or two until they share the partitions.
"""

import asyncio
import itertools
import multiprocessing
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from multiprocessing.synchronize import Event, Semaphore
from typing import NamedTuple

import uvloop

from bench.figure import Figure, compared, figure, server
from bench.orders import EVENTS_EACH, fill
from bench.views import laborious
from whence import open_store
from whence.cli.running import relax_gc
from whence.projections.status import wait_until_caught_up
from whence.projections.worker import Worker
from whence.store.eventstore import EventStore

ORDERS = 60_000
ROUNDS = 3
NAMESPACE = "workers"
# Seconds after which a worker ends by itself.
LONGEST = 300


class Signals(NamedTuple):
    """What the processes say and are told."""

    ready: Semaphore
    begin: Event
    stop: Event


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
    view = laborious(name).projector(name)
    with _workers(url, name, processes) as begin:
        start = time.perf_counter()
        begin.set()
        await wait_until_caught_up(store, view, timeout_s=LONGEST)
        return ORDERS * EVENTS_EACH / (time.perf_counter() - start)


@contextmanager
def _workers(url: str, name: str, count: int) -> Generator[Event]:
    """Worker processes that wait for the event that is yielded; they end with the block."""
    context = multiprocessing.get_context("spawn")
    signals = Signals(context.Semaphore(0), context.Event(), context.Event())
    processes = [
        context.Process(target=_work, args=(url, name, signals), daemon=True) for _ in range(count)
    ]
    for process in processes:
        process.start()
    try:
        for _ in processes:
            assert signals.ready.acquire(timeout=60), "a worker did not start"
        yield signals.begin
    finally:
        signals.stop.set()
        for process in processes:
            process.join(20)


def _work(url: str, name: str, signals: Signals) -> None:
    relax_gc()  # as whence worker does
    uvloop.run(_run(url, name, signals))


async def _run(url: str, name: str, signals: Signals) -> None:
    async with open_store(url, namespace=NAMESPACE, durability="relaxed") as store:
        signals.ready.release()
        await asyncio.to_thread(signals.begin.wait, 60)
        work = asyncio.create_task(Worker(store, laborious(name)).run())
        await asyncio.to_thread(signals.stop.wait, LONGEST)
        work.cancel()
        await asyncio.wait([work])
