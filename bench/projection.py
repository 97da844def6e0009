"""Events per second from an empty view to the head of the log, against reading the same events.

The time of a worker's process is told as well, and that of the server: on a machine that does other
work they say more than the clock. A worker is one process, and so is the server.
"""

import itertools
import tempfile
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median

import anyio
import uvloop

from bench.figure import Figure, compared, figure, server
from bench.orders import EVENTS_EACH, OPEN, fill
from bench.views import NewView, noop, redis, sqlite
from whence import open_store
from whence.projections.readmodel import ReadModel
from whence.projections.status import wait_until_caught_up
from whence.projections.worker import Worker
from whence.sql import open_database
from whence.store.eventstore import EventStore

ORDERS = 30_000
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
        return f"{median(self._worker):.1f} µs here, {median(self._server):.1f} µs in the server"

    async def project(self) -> float:
        name, events = next(self._names), ORDERS * EVENTS_EACH
        async with _kept(self._new_view(name)) as views:
            used, began = await server_cpu(self._store), time.process_time()
            start = finished = time.perf_counter()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(Worker(self._store, views).run)
                await wait_until_caught_up(self._store, views.projector(name), timeout_s=300)
                finished = time.perf_counter()
                self._worker.append(1e6 * (time.process_time() - began) / events)
                self._server.append(1e6 * (await server_cpu(self._store) - used) / events)
                tasks.cancel_scope.cancel()
        return events / (finished - start)


@asynccontextmanager
async def _kept(views: ReadModel) -> AsyncGenerator[ReadModel]:
    """The same views; those with tables in a SQLite file of their own."""
    with tempfile.TemporaryDirectory(prefix="whence-bench-") as folder:
        async with open_database(f"sqlite:///{Path(folder) / 'views.db'}") as database:
            yield views.at(database)


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
