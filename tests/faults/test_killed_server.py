"""kill -9 of the server while commands run: what was acknowledged is there, at its version."""

import random
from pathlib import Path

from tests.faults.killing import BETWEEN_KILLS, killed
from tests.faults.violation import report
from whence.store.embedded import EmbeddedServer

KILLS = 20


async def test_20_kills_lose_no_acknowledged_command(tmp_path: Path) -> None:
    seed = random.randrange(2**32)

    found = await killed(
        lambda: EmbeddedServer.start(tmp_path / "data"), KILLS, seed, tmp_path / "history"
    )

    assert found.violations == [], f"seed {seed}: {report(found.violations)}"
    assert found.done >= KILLS * BETWEEN_KILLS
