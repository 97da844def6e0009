"""kill -9 of the server, again and again, while commands run."""

import asyncio
import itertools
import os
import signal
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple, Protocol

from tests.faults.checker import check
from tests.faults.commander import Commander, Work
from tests.faults.domain import model
from tests.faults.history import History, Recorder, recorded
from tests.faults.log import log_of
from tests.faults.violation import Violation
from whence import Runtime, open_store

CALLERS = 32
AGGREGATES = 100
BETWEEN_KILLS = 150  # commands and reads


class Server(Protocol):
    """One that runs; ``stop`` returns when it has ended, also after a kill."""

    @property
    def url(self) -> str: ...
    @property
    def pid(self) -> int: ...
    def stop(self) -> None: ...


class Killed(NamedTuple):
    history: History
    violations: list[Violation]
    done: int


async def killed(
    start: Callable[[], Server], kills: int, seed: int, path: Path, *, between: int = BETWEEN_KILLS
) -> Killed:
    """Kill the server so often under load, start it again each time, and check what it has.

    Args:
        start: starts it on the same data each time.
        path: the file of the history.
        between: commands and reads between two kills.
    """
    server = start()
    try:
        with Recorder(path, "1") as recorder:
            async with open_store(server.url) as store, Runtime(store, model) as runtime:
                commander = Commander(runtime, recorder, Work(seed, AGGREGATES))
                async with commanding(commander) as work:
                    for _ in range(kills):
                        await done_reaches(commander, commander.done + between, work)
                        os.kill(server.pid, signal.SIGKILL)
                        await asyncio.to_thread(server.stop)
                        server = await asyncio.to_thread(start)
                history = recorded([path])
                return Killed(history, check(history, await log_of(store)), commander.done)
    finally:
        server.stop()


@asynccontextmanager
async def commanding(commander: Commander) -> AsyncGenerator[asyncio.Task[None]]:
    """Callers command within the block, and end what they have begun."""
    stop = asyncio.Event()
    numbers = itertools.takewhile(lambda _: not stop.is_set(), itertools.count())
    work = asyncio.create_task(commander.run(numbers, CALLERS))
    try:
        yield work
    finally:
        stop.set()
        await work


async def done_reaches(commander: Commander, enough: int, work: asyncio.Task[None]) -> None:
    async with asyncio.timeout(60):
        while commander.done < enough:
            if work.done():
                work.result()
            await asyncio.sleep(0.002)
