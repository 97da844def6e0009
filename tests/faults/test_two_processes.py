"""Two processes command one aggregate: the version check keeps them in order."""

import subprocess
import sys
from collections import Counter as Tally
from pathlib import Path

from tests.actors.domain import Counted, model
from whence.store.eventstore import open_store
from whence.store.ids import StreamId

ROOT = Path(__file__).parents[2]
COMMANDS_EACH = 1_000


async def test_2000_commands_from_two_processes_on_one_aggregate(
    valkey_url: str, namespace: str, tmp_path: Path
) -> None:
    logs = [tmp_path / "one", tmp_path / "two"]
    processes = [start(valkey_url, namespace, log) for log in logs]
    try:
        assert [process.wait(100) for process in processes] == [0, 0]
    finally:
        for process in processes:
            process.kill()
            process.wait()

    acknowledged = [int(line.split()[1]) for log in logs for line in lines_of(log)]
    assert sorted(acknowledged) == list(range(1, 2 * COMMANDS_EACH + 1))
    async with open_store(valkey_url, namespace=namespace) as store:
        records = [record async for record in store.read(StreamId("counter", "0"))]
    events = [event for record in records for event in model.events.decode_all(record)]
    assert [event.total for event in events if isinstance(event, Counted)] == list(
        range(1, 2 * COMMANDS_EACH + 1)
    )
    assert set(Tally(record.command_id for record in records).values()) == {1}


def lines_of(log: Path) -> list[str]:
    return log.read_text(encoding="utf-8").splitlines()


def start(url: str, namespace: str, log: Path) -> subprocess.Popen[bytes]:
    module = "tests.faults.commander"
    arguments = [url, namespace, str(log), "1", str(COMMANDS_EACH), "64"]
    return subprocess.Popen([sys.executable, "-m", module, *arguments], cwd=ROOT)
