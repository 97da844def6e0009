"""Two processes command one aggregate: the version check keeps them in order."""

import asyncio
import random
from pathlib import Path

from tests.faults.checker import check
from tests.faults.commander import Orders
from tests.faults.fleet import Fleet
from tests.faults.log import log_of
from tests.faults.violation import report
from whence.store.eventstore import open_store

COMMANDS = 2_000


async def test_2000_commands_from_two_processes_on_one_aggregate(
    valkey_url: str, namespace: str, tmp_path: Path
) -> None:
    orders = Orders(
        url=valkey_url,
        namespace=namespace,
        folder=str(tmp_path),
        seed=random.randrange(2**32),
        aggregates=1,
        callers=64,
        count=COMMANDS,
        slots=2,
    )
    with Fleet(orders) as fleet:
        while fleet.running():
            await asyncio.sleep(0.02)
        history = fleet.history()
    async with open_store(valkey_url, namespace=namespace) as store:
        violations = check(history, await log_of(store))

    assert violations == [], f"seed {orders.seed}: {report(violations)}"
    assert len(history.attempts) + len(history.reads) == COMMANDS
    assert {attempt.outcome for attempt in history.attempts} == {"ok", "rejected", "conflict"}
