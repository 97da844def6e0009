"""kill -9 of the server while commands run: what was acknowledged is there, at its version."""

import asyncio
import itertools
import os
import random
import signal
from pathlib import Path

from tests.faults.checker import check
from tests.faults.commander import Commander, Work
from tests.faults.domain import model
from tests.faults.history import Recorder, recorded
from tests.faults.log import log_of
from tests.faults.violation import report
from whence import Runtime, open_store
from whence.store.embedded import EmbeddedServer

KILLS = 20
CALLERS = 32
AGGREGATES = 100
BETWEEN_KILLS = 150  # commands and reads


async def test_20_kills_lose_no_acknowledged_command(tmp_path: Path) -> None:
    data, path = tmp_path / "data", tmp_path / "history"
    seed = random.randrange(2**32)
    server = EmbeddedServer.start(data)
    try:
        with Recorder(path, "1") as recorder:
            async with open_store(server.url) as store, Runtime(store, model) as runtime:
                commander = Commander(runtime, recorder, Work(seed, AGGREGATES))
                stop = asyncio.Event()
                numbers = itertools.takewhile(lambda _: not stop.is_set(), itertools.count())
                work = asyncio.create_task(commander.run(numbers, CALLERS))
                for _ in range(KILLS):
                    await done_reaches(commander, commander.done + BETWEEN_KILLS, work)
                    os.kill(server.pid, signal.SIGKILL)
                    await asyncio.to_thread(server.stop)
                    server = await asyncio.to_thread(EmbeddedServer.start, data)
                stop.set()
                await work
                violations = check(recorded([path]), await log_of(store))
    finally:
        server.stop()

    assert violations == [], f"seed {seed}: {report(violations)}"
    assert commander.done >= KILLS * BETWEEN_KILLS


async def done_reaches(commander: Commander, enough: int, work: asyncio.Task[None]) -> None:
    async with asyncio.timeout(60):
        while commander.done < enough:
            if work.done():
                work.result()
            await asyncio.sleep(0.002)
