"""T3 and T5: power loss, as a log file that ends at any byte behind what was acknowledged."""

import asyncio
import itertools
import os
import random
import shutil
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.faults.campaign.fault import Fault, Scale, Seen
from tests.faults.campaign.servers import valkey9
from tests.faults.checker import check
from tests.faults.commander import Commander, Work
from tests.faults.domain import model
from tests.faults.history import Attempt, History, Outcome, Recorder, recorded
from tests.faults.killing import AGGREGATES, commanding, done_reaches
from tests.faults.log import log_of
from tests.faults.violation import report
from whence import Runtime, open_store

CUTS = 60
COMMANDS = 600


class Acknowledged(NamedTuple):
    """How long the log file was, in bytes, when its caller had an answer or a reader an event."""

    answers: dict[int, int]
    reads: list[int]


class SizeRecorder(Recorder):
    """Notes the size of the server's log file with each answer and read."""

    def __init__(self, path: Path, log: Callable[[], int]) -> None:
        super().__init__(path, "1")
        self.noted = Acknowledged({}, [])
        self._log = log

    def answered(
        self,
        number: int,
        outcome: Outcome,
        versions: Sequence[int] = (),
        position: int = 0,
        data: Sequence[str] = (),
    ) -> None:
        self.noted.answers[number] = self._log()
        super().answered(number, outcome, versions, position, data)

    def read(self, began: int, stream: str, version: int, digest: int | None = None) -> None:
        self.noted.reads.append(self._log())
        super().read(began, stream, version, digest)


def run(scale: Scale) -> Seen:
    """Fill a log, then let it end at random bytes, and check what was acknowledged by then."""
    return asyncio.run(_run(scale))


async def _run(scale: Scale) -> Seen:
    chance = random.Random(scale.seed)
    data, path = scale.folder / "data", scale.folder / "history"
    noted = await _filled(data, path, scale)
    log = _log_file(data)
    whole = log.stat().st_size
    first = min(noted.answers.values())
    history = recorded([path])
    cuts = sorted(chance.randrange(first, whole + 1) for _ in range(scale.of(CUTS, 4)))
    broken: list[str] = []
    lost_tails = 0
    for cut in cuts:
        before = _known_at(history, noted, cut)
        copy = scale.folder / "copy"
        shutil.copytree(data, copy, ignore=shutil.ignore_patterns("*.sock", "*lock*"))
        os.truncate(_log_file(copy), cut)
        found = await _violations(copy, before)
        if found:
            broken.append(f"cut at byte {cut:,} of {whole:,}: {found}")
        lost_tails += sum(a.outcome != "unknown" for a in history.attempts) - sum(
            a.outcome != "unknown" for a in before.attempts
        )
        shutil.rmtree(copy)
    return Seen(
        len(cuts),
        f"a log of {whole:,} bytes and {len(history.attempts):,} commands ended at {len(cuts)} "
        f"bytes, most of them within an append; {len(broken)} of the servers that were started "
        "on what was left had lost or torn anything acknowledged by then",
        tuple(broken),
    )


async def _filled(data: Path, path: Path, scale: Scale) -> Acknowledged:
    server = await asyncio.to_thread(valkey9, data)
    try:
        async with open_store(server.url) as store, Runtime(store, model) as runtime:
            file = _log_file(data)
            with SizeRecorder(path, lambda: file.stat().st_size) as recorder:
                commander = Commander(runtime, recorder, Work(scale.seed, AGGREGATES))
                async with commanding(commander) as work:
                    await done_reaches(commander, scale.of(COMMANDS, 100), work)
                os.kill(server.pid, signal.SIGKILL)
        return recorder.noted
    finally:
        await asyncio.to_thread(server.stop)


def _log_file(data: Path) -> Path:
    (found,) = (data / "appendonlydir").glob("*.incr.aof")
    return found


def _known_at(history: History, noted: Acknowledged, cut: int) -> History:
    """The history as it was when the log had so many bytes: later answers were not given."""
    attempts = [
        Attempt(sent, answered if noted.answers.get(sent.number, cut + 1) <= cut else None)
        for sent, answered in history.attempts
    ]
    reads = list(itertools.compress(history.reads, (size <= cut for size in noted.reads)))
    return History(attempts, reads)


async def _violations(copy: Path, before: History) -> str:
    server = await asyncio.to_thread(valkey9, copy)
    try:
        async with open_store(server.url) as store:
            violations = check(before, await log_of(store))
    finally:
        await asyncio.to_thread(server.stop)
    return report(violations) if violations else ""


FAULT = Fault(
    "T3, T5 power loss, Valkey 9",
    "Under load the size of the append only file was noted with every answer and every read; then "
    "copies of it were cut at random bytes and a server was started on each. Such a cut is what a "
    "power loss leaves: all that was synced before an answer, and any part of what came later.",
    "With appendfsync always, what was acknowledged or read when the file had so many bytes is "
    "there, and an append is there whole or not at all.",
    "Damage within what was synced (a failing disk): checksums notice it, and no software mends "
    "it.",
    run,
)
