"""kill -9 of the server while commands run: what was acknowledged is there, at its version."""

import asyncio
import os
import signal
from pathlib import Path

from tests.faults.load import under_load
from whence import open_store
from whence.store.embedded import EmbeddedServer

KILLS = 20
BETWEEN_KILLS = 150  # acknowledged commands


async def test_20_kills_lose_no_acknowledged_command(tmp_path: Path) -> None:
    data = tmp_path / "data"
    server = EmbeddedServer.start(data)
    try:
        async with open_store(server.url) as store, under_load(store) as load:
            for _ in range(KILLS):
                await load.more(BETWEEN_KILLS)
                os.kill(server.pid, signal.SIGKILL)
                await asyncio.to_thread(server.stop)
                server = await asyncio.to_thread(EmbeddedServer.start, data)
    finally:
        server.stop()
    assert len(load.acknowledged) >= KILLS * BETWEEN_KILLS
