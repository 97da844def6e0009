"""Pictures of what callers and readers notice: a kill, a failover, and workers that come and go.

``python -m tests.faults.campaign.pictures FOLDER`` draws them.
"""

import asyncio
import logging
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack, suppress
from pathlib import Path

from tests.faults.campaign.servers import valkey9
from tests.faults.campaign.svg import Mark, picture
from tests.faults.domain import Account, model
from tests.faults.simulation.view import read_model, tally
from tests.store.cluster_server import cluster_server
from tests.store.plain_server import PlainServer, eventually
from whence import Runtime, open_store
from whence.projections.settings import WorkerSettings
from whence.projections.status import status
from whence.projections.worker import Worker
from whence.store.errors import OutcomeUnknown, StoreUnavailable
from whence.store.eventstore import EventStore

CALLERS = 8
ACCOUNTS = 100
# Seconds: of a picture before, and after, what happens; between two of its points.
BEFORE, AFTER = 3.0, 7.0
STEP = 0.1
# Seconds in which all are drawn, which takes 40 on a quiet machine.
WITHIN_S = 300
# A lease short enough to see it end in a picture.
SETTINGS = WorkerSettings(lease_ms=3_000, poll_ms=300)


class _Callers:
    """Callers that command all the time; the longest wait of each step is a point."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._began = time.monotonic()
        self._longest: dict[int, float] = {}

    @property
    def now(self) -> float:
        return time.monotonic() - self._began

    @property
    def points(self) -> list[tuple[float, float]]:
        return [(step * STEP, 1000 * wait) for step, wait in sorted(self._longest.items())]

    async def run(self, seconds: float) -> None:
        await asyncio.gather(*[self._caller(number, seconds) for number in range(CALLERS)])

    async def _caller(self, number: int, seconds: float) -> None:
        while self.now < seconds:
            number += CALLERS
            began = time.monotonic()
            with suppress(OutcomeUnknown, StoreUnavailable):
                await self._runtime.send(Account.deposit, str(number % ACCOUNTS), 1)
            step = int(self.now / STEP)
            wait = time.monotonic() - began
            self._longest[step] = max(wait, self._longest.get(step, 0.0))


async def _latency(store: EventStore, title: str, happen: Callable[[], Awaitable[None]]) -> str:
    """The picture of a load through something that happens."""
    async with Runtime(store, model) as runtime:
        await runtime.send(Account.deposit, "0", 1)
        callers = _Callers(runtime)
        load = asyncio.create_task(callers.run(BEFORE + AFTER))
        await asyncio.sleep(BEFORE)
        began = callers.now
        await happen()
        marks = [Mark(began, "killed"), Mark(callers.now, "")]
        await load
    return picture(title, "ms", callers.points, marks)


async def kill(folder: Path) -> str:
    """The longest waits while the server is killed and started again."""
    server = await asyncio.to_thread(valkey9, folder)
    try:
        async with open_store(server.url) as store:

            async def happen() -> None:
                nonlocal server
                os.kill(server.pid, signal.SIGKILL)
                await asyncio.to_thread(server.stop)
                server = await asyncio.to_thread(valkey9, folder)

            return await _latency(
                store, "kill -9 of the server: longest wait of 8 callers, each 0.1 s", happen
            )
    finally:
        await asyncio.to_thread(server.stop)


async def failover(folder: Path) -> str:
    """The longest waits while one of three primaries of a Cluster is killed."""
    with ExitStack() as stack:
        cluster = await asyncio.to_thread(
            lambda: stack.enter_context(cluster_server(folder, replicas=1))
        )
        async with open_store(cluster.url, durability="replicated:1", partitions=16) as store:

            async def happen() -> None:
                cluster.primaries[0].kill()
                heir = cluster.replicas[0]
                await asyncio.to_thread(eventually, lambda: _is_primary(heir), "the failover")

            return await _latency(
                store, "one of three primaries is killed: longest wait of 8 callers", happen
            )


def _is_primary(server: PlainServer) -> bool:
    return bool(server.ask("ROLE")[0] == b"master")


async def rescale(folder: Path) -> str:
    """How many events the view is behind, while workers come and go."""
    server = await asyncio.to_thread(valkey9, folder)
    try:
        async with open_store(server.url, partitions=16) as store, Runtime(store, model) as runtime:
            callers = _Callers(runtime)
            first, second = (
                Worker(store, read_model, name=name, settings=SETTINGS) for name in ("one", "two")
            )
            load = asyncio.create_task(callers.run(BEFORE + AFTER))
            working = [asyncio.create_task(first.run())]
            points: list[tuple[float, float]] = []
            marks = [Mark(BEFORE, "a second worker"), Mark(BEFORE + AFTER / 2, "the first leaves")]
            while not load.done():
                lag = sum(each.lag for each in await status(store, tally))
                points.append((callers.now, lag))
                if callers.now > marks[0].at and len(working) == 1:
                    working.append(asyncio.create_task(second.run()))
                if callers.now > marks[1].at:
                    working[0].cancel()
                await asyncio.sleep(STEP)
            for task in working:
                task.cancel()
            await asyncio.wait(working)
            return picture("events that a view is behind, under load", "", points, marks)
    finally:
        await asyncio.to_thread(server.stop)


PICTURES = {"kill": kill, "failover": failover, "rescale": rescale}


def draw(target: Path) -> None:
    """Draw all of them into a folder."""
    target.mkdir(parents=True, exist_ok=True)
    for name, make in PICTURES.items():
        with tempfile.TemporaryDirectory(prefix="whence-faults-") as folder:
            svg = asyncio.run(make(Path(folder)))
        (target / f"{name}.svg").write_text(svg, encoding="utf-8")


def drawn(target: Path) -> list[str]:
    """Have them drawn by a process of their own; returns their lines for the report."""
    subprocess.run(
        [sys.executable, "-m", "tests.faults.campaign.pictures", str(target)],
        cwd=Path(__file__).parents[3],
        timeout=WITHIN_S,
        check=True,
    )
    return [
        f"![{(make.__doc__ or '').strip().rstrip('.')}]({target.name}/{name}.svg)"
        for name, make in PICTURES.items()
    ]


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    draw(Path(sys.argv[1]))
