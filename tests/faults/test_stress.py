"""Four processes, 200 aggregates, 50,000 commands, and processes that are killed in the middle."""

import asyncio
import random
from collections import Counter
from pathlib import Path

import pytest

from tests.faults.checker import check
from tests.faults.commander import Orders
from tests.faults.fleet import Fleet
from tests.faults.history import History
from tests.faults.log import log_of
from tests.faults.violation import report
from whence.store.eventstore import open_store

PROCESSES = 4
AGGREGATES = 200
COMMANDS = 50_000
CALLERS = 32  # in each process
KILLS = 20


@pytest.mark.timeout(600)  # 14 s on a quiet machine, 100 s on one with a load of 8
async def test_killed_processes_lose_double_and_reorder_nothing(
    valkey_url: str, namespace: str, tmp_path: Path
) -> None:
    seed = random.randrange(2**32)
    orders = Orders(
        url=valkey_url,
        namespace=namespace,
        folder=str(tmp_path),
        seed=seed,
        aggregates=AGGREGATES,
        callers=CALLERS,
        count=COMMANDS,
        slots=PROCESSES,
    )
    with Fleet(orders) as fleet:
        await kill_at_random(fleet, random.Random(seed))
        while fleet.running():
            await asyncio.sleep(0.05)
        history = fleet.history()
    async with open_store(valkey_url, namespace=namespace) as store:
        violations = check(history, await log_of(store))

    assert violations == [], f"seed {seed}: {report(violations)}"
    assert_of_all_kinds(history, seed)


async def kill_at_random(fleet: Fleet, chance: random.Random) -> None:
    """After so many lines of history, and not after so much time: a slow machine kills as often."""
    for moment in sorted(chance.sample(range(COMMANDS // 50, int(COMMANDS * 1.6)), KILLS)):
        while fleet.lines() < moment:
            assert fleet.running(), f"all is done, and {moment} lines of history were not reached"
            await asyncio.sleep(0.005)
        while not (begun := fleet.begun()):
            assert fleet.running(), "all is done, and not all kills have been"
            await asyncio.sleep(0.005)
        fleet.kill(chance.choice(begun))


def assert_of_all_kinds(history: History, seed: int) -> None:
    """What was to be tested has really happened, and often enough."""
    outcomes = Counter(attempt.outcome for attempt in history.attempts)
    assert outcomes["ok"] > COMMANDS // 2, f"seed {seed}: {outcomes}"
    assert min(outcomes[kind] for kind in ("rejected", "conflict", "unknown")) > KILLS, (
        f"seed {seed}: {outcomes}"
    )
    assert outcomes["unavailable"] == 0, f"seed {seed}: the server was there all the time"
    names = Counter(attempt.sent.command for attempt in history.attempts)
    assert sum(count > 1 for count in names.values()) > 500
    across = {(attempt.sent.command, attempt.sent.process) for attempt in history.attempts}
    assert len(across) > len(names) + 500, "too few commands were repeated by another process"
    # Who is killed has sent something; the last ones may have found nothing left to do.
    assert len({attempt.sent.process for attempt in history.attempts}) > PROCESSES + KILLS // 2
    assert len(history.reads) > 1_000
