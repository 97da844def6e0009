"""A worker in a process of its own, as ``whence worker`` runs it, on a view of orders."""

import asyncio
import multiprocessing
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

import uvloop

from bench.views import NewView
from whence import open_store
from whence.cli.running import relax_gc
from whence.projections.worker import Worker
from whence.sql import open_database

# Seconds after which something is wrong.
_LONGEST = 300


class Job(NamedTuple):
    """On which store, which view, and under which name."""

    url: str
    namespace: str
    new_view: NewView
    name: str


class WorkerProcess:
    """It waits for ``begin``, and works until ``stop``."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._hear()

    def begin(self) -> None:
        self._pipe.send(None)

    def stop(self) -> float:
        """The seconds of a processor that it has used since it began."""
        self._pipe.send(None)
        return self._hear()

    def _hear(self) -> float:
        assert self._pipe.poll(_LONGEST), "a worker does not answer"
        heard: float = self._pipe.recv()
        return heard


@contextmanager
def worker_process(job: Job) -> Generator[WorkerProcess]:
    """A worker that is ready to begin; its process ends with the block."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_run, args=(theirs, job), daemon=True)
    process.start()
    try:
        theirs.close()
        yield WorkerProcess(ours)
    finally:
        ours.close()  # it ends for want of another word, too
        process.join(20)


def _run(pipe: Connection, job: Job) -> None:
    relax_gc()  # as whence worker does
    uvloop.run(_work(pipe, job))


async def _work(pipe: Connection, job: Job) -> None:
    """Tables are in a SQLite file of their own."""
    with tempfile.TemporaryDirectory(prefix="whence-bench-") as folder:
        async with (
            open_store(job.url, namespace=job.namespace, durability="relaxed") as store,
            open_database(f"sqlite:///{Path(folder) / 'views.db'}") as database,
        ):
            pipe.send(0.0)
            await asyncio.to_thread(pipe.recv)
            began = time.process_time()
            work = asyncio.create_task(Worker(store, job.new_view(job.name).at(database)).run())
            await asyncio.to_thread(pipe.recv)
            pipe.send(time.process_time() - began)
            work.cancel()
            await asyncio.wait([work])
