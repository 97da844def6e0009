"""T15: two releases of the code in one fleet, on the same accounts of one server at once."""

import asyncio
import random
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from tests.faults import domain
from tests.faults.checker import check
from tests.faults.commander import Orders
from tests.faults.history import Attempt, History, recorded
from tests.faults.log import Log, log_of
from tests.faults.release import read_model
from tests.faults.releases import newer, wider
from tests.faults.simulation.view import folded
from tests.faults.violation import report
from whence.actors.model import WriteModel
from whence.projections.query import find
from whence.projections.status import status
from whence.store.eventstore import EventStore, open_store

ROOT = Path(__file__).parents[2]
COMMANDS = 600
OLD, NEW = 0, 1


@pytest.fixture
def orders(valkey_url: str, namespace: str, tmp_path: Path) -> Orders:
    return Orders(
        url=valkey_url,
        namespace=namespace,
        folder=str(tmp_path),
        seed=random.randrange(2**32),
        aggregates=10,
        callers=8,
        count=COMMANDS,
        slots=2,
    )


async def test_a_field_that_the_older_release_does_not_know_is_passed_over(orders: Orders) -> None:
    with release("tests.faults.domain", orders, OLD), release(wider.__name__, orders, NEW):
        history = await all_done(orders)
        log = await checked(orders, history, domain.model)

    by = outcomes(history)
    assert by[OLD]["unavailable"] == by[NEW]["unavailable"] == 0
    assert min(by[OLD]["ok"], by[NEW]["ok"]) > COMMANDS // 6
    assert '"channel":"app"' in str(log)


async def test_a_form_that_the_older_release_cannot_read_harms_nothing(orders: Orders) -> None:
    with release(newer.__name__, orders, NEW):
        await something_stored(orders)  # or the older one may be done before it
        with release("tests.faults.domain", orders, OLD):
            history = await all_done(orders)
        # The older one has ended, and what its worker has parked is applied by the newer one.
        await checked(orders, history, newer.model)

    by = outcomes(history)
    assert by[NEW]["unavailable"] == 0
    assert by[OLD]["unavailable"] > 0
    assert by[NEW]["ok"] > COMMANDS // 6


@contextmanager
def release(module: str, orders: Orders, slot: int) -> Generator[None]:
    """A process of that release; it has ended well when the block has."""
    mine = msgspec.structs.replace(orders, slot=slot)
    arguments = [module, msgspec.json.encode(mine).decode()]
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.faults.release", *arguments], cwd=ROOT, stdin=subprocess.PIPE
    )
    try:
        yield
        process.communicate(timeout=60)
        assert process.returncode == 0
    finally:
        process.kill()
        process.wait()


async def something_stored(orders: Orders) -> None:
    async with asyncio.timeout(90):
        while not any(a.outcome == "ok" for a in recorded(Path(orders.folder).iterdir()).attempts):
            await asyncio.sleep(0.05)


async def all_done(orders: Orders) -> History:
    """What both have done, as soon as every number has its answer."""
    folder = Path(orders.folder)
    async with asyncio.timeout(90):
        while True:
            history = recorded(folder.iterdir())
            open_ = sum(attempt.answered is None for attempt in history.attempts)
            if len(history.attempts) + len(history.reads) - open_ >= orders.count:
                return history
            await asyncio.sleep(0.05)


async def caught_up(store: EventStore, model: WriteModel) -> None:
    """The view is at the head of each feed, and nothing is parked."""
    tally = read_model(model).projection("tally")
    async with asyncio.timeout(60):
        while any(each.lag or each.parked or each.failure for each in await status(store, tally)):
            await asyncio.sleep(0.05)


async def checked(orders: Orders, history: History, model: WriteModel) -> Log:
    """The log, which the history and the view of that release agree with."""
    async with open_store(orders.url, namespace=orders.namespace) as store:
        await caught_up(store, model)
        log = await log_of(store)
        rows = await find(store, read_model(model).projection("tally"), limit=100)
    found = check(same_for_both(history), as_both_see_it(log))
    assert found == [], f"seed {orders.seed}: {report(found)}"
    assert dict(rows.rows) == folded(log)
    return log


def outcomes(history: History) -> dict[int, Counter[str]]:
    """How the commands of each release ended."""
    found: dict[int, Counter[str]] = {OLD: Counter(), NEW: Counter()}
    for attempt in history.attempts:
        found[int(attempt.sent.process[0])][attempt.outcome] += 1
    return found


def same_for_both(history: History) -> History:
    """Without what only one of the releases sees: a field, and digests of events that have it."""
    replace = msgspec.structs.replace
    attempts = [
        Attempt(sent, told and replace(told, data=tuple(map(shared, told.data))))
        for sent, told in history.attempts
    ]
    return History(attempts, [replace(read, digest=None) for read in history.reads])


def as_both_see_it(log: Log) -> Log:
    streams = {
        name: [entry._replace(data=shared(entry.data)) for entry in entries]
        for name, entries in log.streams.items()
    }
    return log._replace(streams=streams)


def shared(data: str) -> str:
    """The fields that the event has in both releases."""
    return re.sub(r',"(channel|fee)":("\w+"|0)', "", data)
