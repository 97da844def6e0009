"""Events per second from an empty view to the head of the log, against reading the same events.

The worker is a process of its own, and so is the server. The processor's time of both is told as
well: on a machine that does other work it says more than the clock.
"""

import itertools
import time
from collections.abc import Iterator
from statistics import median

import uvloop

from bench.figure import Figure, compared, figure, server
from bench.orders import EVENTS_EACH, OPEN, fill
from bench.views import NewView, noop, redis, sqlite
from bench.working import Job, worker_process
from whence import open_store
from whence.projections.status import wait_until_caught_up
from whence.store.eventstore import EventStore

ORDERS = 60_000
ROUNDS = 3
PAGE = 500
AGAINST = f"reading the feeds and their events, {PAGE} at a time"

HANDLERS: dict[str, NewView] = {"noop": noop, "redis": redis, "sqlite": sqlite}


def figures() -> Iterator[Figure]:
    for name, new_view in HANDLERS.items():
        with server("everysec") as running:
            yield uvloop.run(_measure(running.url, name, new_view))


async def _measure(url: str, name: str, new_view: NewView) -> Figure:
    async with open_store(url, namespace="projection", durability="relaxed") as store:
        await fill(store, ORDERS)
        run = _Run(store, new_view)
        pair = await compared(run.project, lambda: read(store, ORDERS * EVENTS_EACH), ROUNDS)
    against = f"{AGAINST}; CPU per event: {run.cpu}"
    return figure(f"projection, {name}, {OPEN:,} orders open at a time", pair, "events/s", against)


class _Run:
    """One view after the other, from the first event to the last."""

    def __init__(self, store: EventStore, new_view: NewView) -> None:
        self._store = store
        self._new_view = new_view
        self._names = (f"view-{number}" for number in itertools.count())
        self._worker: list[float] = []
        self._server: list[float] = []

    @property
    def cpu(self) -> str:
        worker, server = median(self._worker), median(self._server)
        return f"{worker:.1f} µs of the worker, {server:.1f} µs of the server"

    async def project(self) -> float:
        """Events per second, from when the worker is told to begin."""
        name, events = next(self._names), ORDERS * EVENTS_EACH
        job = Job(self._store.address.url, self._store.keys.namespace, self._new_view, name)
        with worker_process(job) as worker:
            used = await server_cpu(self._store)
            start = time.perf_counter()
            worker.begin()
            view = self._new_view(name).projector(name)
            await wait_until_caught_up(self._store, view, timeout_s=300)
            finished = time.perf_counter()
            self._worker.append(1e6 * worker.stop() / events)
            self._server.append(1e6 * (await server_cpu(self._store) - used) / events)
        return events / (finished - start)


async def read(store: EventStore, events: int) -> float:
    """Events per second."""
    start = time.perf_counter()
    count = 0
    for partition in range(store.keys.partitions):
        position = 0
        while pointers := await store.pointers(partition, after=position, limit=PAGE):
            count += len(await store.fetch(pointers))
            position = pointers[-1].position
    assert count == events
    return count / (time.perf_counter() - start)


async def server_cpu(store: EventStore) -> float:
    """Seconds that the server has used."""
    info: bytes = await store.ask("INFO", "cpu")
    lines = (line.partition(":") for line in info.decode().splitlines())
    used = {name: value for name, _, value in lines}
    return float(used["used_cpu_user"]) + float(used["used_cpu_sys"])
