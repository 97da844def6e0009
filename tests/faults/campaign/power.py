"""T3 and T5: power loss, as a log that ends at its last completed sync, or anywhere behind it."""

import asyncio
import os
import random
import shutil
import signal
from collections.abc import Sequence
from pathlib import Path

from tests.faults.campaign.fault import Fault, Scale, Seen, skipped
from tests.faults.campaign.servers import valkey9
from tests.faults.campaign.syncs import (
    NO_COMPILER,
    Synced,
    cut_copy,
    log_file,
    synced_by,
    syncing,
    syncs_of,
)
from tests.faults.checker import check
from tests.faults.commander import Commander, Work
from tests.faults.domain import model
from tests.faults.history import Attempt, History, Recorder, recorded
from tests.faults.killing import AGGREGATES, commanding, done_reaches
from tests.faults.log import log_of
from tests.faults.violation import report
from whence import Runtime, open_store

CUTS = 60
COMMANDS = 1_000


def run(scale: Scale) -> Seen:
    """Fill a log; let the power fail at random moments of that; check what was known by then."""
    return asyncio.run(_run(scale))


async def _run(scale: Scale) -> Seen:
    chance = random.Random(scale.seed)
    data, path, notes = (scale.folder / name for name in ("data", "history", "syncs"))
    with syncing(scale.folder, notes) as built:
        if not built:
            return skipped(NO_COMPILER)
        await _filled(data, path, scale)
    syncs = syncs_of(log_file(data), notes)
    whole = log_file(data).stat().st_size
    history = recorded([path])
    broken: list[str] = []
    times, exact, known = scale.of(CUTS, 4), 0, 0
    for number in range(times):
        moment = _moment(chance, history, syncs)
        synced = synced_by(moment, syncs)
        # What was not synced may be there or not, and may end anywhere.
        cut = synced if number % 2 == 0 else chance.randint(synced, whole)
        exact += cut == synced
        before = _known_at(history, moment)
        known += sum(attempt.outcome == "ok" for attempt in before.attempts)
        found = await _violations(cut_copy(data, cut, scale.folder / "copy"), before)
        if found:
            broken.append(f"cut at byte {cut:,}, of which {synced:,} were synced: {found}")
    return Seen(
        times,
        f"{len(history.attempts):,} commands, a log of {whole:,} bytes, {len(syncs):,} completed "
        f"syncs; the power failed at {times} moments, by which {known:,} answers had been given: "
        f"{exact} logs ended at the last completed sync, {times - exact} at a random byte behind; "
        f"{len(broken)} had lost or torn anything acknowledged or read by then",
        tuple(broken),
    )


async def _filled(data: Path, path: Path, scale: Scale) -> None:
    server = await asyncio.to_thread(valkey9, data)
    try:
        async with open_store(server.url) as store, Runtime(store, model) as runtime:
            with Recorder(path, "1") as recorder:
                commander = Commander(runtime, recorder, Work(scale.seed, AGGREGATES))
                async with commanding(commander) as work:
                    await done_reaches(commander, scale.of(COMMANDS, 100), work)
                os.kill(server.pid, signal.SIGKILL)
    finally:
        await asyncio.to_thread(server.stop)


def _moment(chance: random.Random, history: History, syncs: Sequence[Synced]) -> int:
    """When the power fails: before the first answer there is nothing to lose."""
    first = min(at.at for _, at in history.attempts if at is not None)
    return chance.randint(first, syncs[-1].at)


def _known_at(history: History, moment: int) -> History:
    """The history as it was when the power failed: later answers and reads were not given."""
    attempts = [
        Attempt(sent, answered if answered is not None and answered.at <= moment else None)
        for sent, answered in history.attempts
    ]
    return History(attempts, [read for read in history.reads if read.ended <= moment])


async def _violations(copy: Path, before: History) -> str:
    server = await asyncio.to_thread(valkey9, copy)
    try:
        async with open_store(server.url) as store:
            violations = check(before, await log_of(store))
    finally:
        await asyncio.to_thread(server.stop)
        shutil.rmtree(copy)
    return report(violations) if violations else ""


FAULT = Fault(
    "T3, T5 power loss, Valkey 9",
    "A library in front of fdatasync writes down each sync that the server has completed, and how "
    "long the log was when it began. For random moments of a load, copies of the log were cut back "
    "to the last sync completed by then, or to any byte behind it, and a server was started on "
    "each.",
    "With appendfsync always, what was acknowledged or read by that moment is there, and an append "
    "is there whole or not at all.",
    "Damage within what was synced (a failing disk): checksums notice it, and no software mends "
    "it.",
    run,
)
