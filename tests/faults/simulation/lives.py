"""What the processes of a simulation do with each of their lives."""

import asyncio
import contextlib
import random
from collections.abc import AsyncGenerator
from dataclasses import replace

from tests.faults.commander import Commander, Task, Work
from tests.faults.domain import model
from tests.faults.history import Attempt, MemoryRecorder
from tests.faults.simulation.plan import LEASE_MS, Plan
from tests.faults.simulation.view import Mending, new_read_model
from whence import Runtime, open_store
from whence.projections.rebuild import rebuild
from whence.projections.settings import WorkerSettings
from whence.projections.worker import Worker
from whence.store.errors import LeaseLost, NoGeneration, ServerRefused, StoreUnavailable, ViewHalted
from whence.store.eventstore import EventStore
from whence.store.wire import ConnectionLost

URL = "redis://simulated"
NAMESPACE = "sim"
SETTINGS = WorkerSettings(lease_ms=LEASE_MS, poll_ms=1_000, retry_ms=500, longest_retry_ms=2_000)
# Parked accounts are tried until the view is mended, and then applied one event at a time.
PARKING = replace(SETTINGS, batch=1, attempts=1_000)
# Seconds: how soon an impatient caller leaves, and how often a process tries to start.
PATIENCE = 0.02
RETRY = 0.5
# A repetition is of one of the last so many commands.
BACK = 10
# What a program has to expect of a server that is not there.
TROUBLE = (StoreUnavailable, ServerRefused, ConnectionLost)


class ImpatientCommander(Commander):
    """Some of its callers leave before they are told, and some of those ask once more."""

    def __init__(
        self,
        runtime: Runtime,
        recorder: MemoryRecorder,
        work: Work,
        chance: random.Random,
        impatient: float,
    ) -> None:
        super().__init__(runtime, recorder, work)
        self._chance = chance
        self._impatient = impatient

    async def send(self, task: Task) -> None:
        if self._chance.random() >= self._impatient:
            await super().send(task)
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._chance.uniform(0, PATIENCE)):
                await super().send(task)
        if task.keyed:
            await super().send(task)


async def command(plan: Plan, slot: int, life: int, recorders: list[MemoryRecorder]) -> None:
    """Send the commands of a slot that none of its earlier lives has sent."""
    earlier = [attempt for recorder in recorders for attempt in recorder.history().attempts]
    recorder = MemoryRecorder(f"{slot}.{life}")
    recorders.append(recorder)
    work = Work(plan.chance, plan.aggregates, back=BACK)
    chance = random.Random(f"{plan.chance} commander {slot}.{life}")
    async with opened(plan) as store, Runtime(store, model, snapshot_every=5) as runtime:
        commander = ImpatientCommander(runtime, recorder, work, chance, plan.impatient)
        for attempt in earlier:
            task = work.command(_number(attempt))
            if attempt.answered is None and task.keyed:
                await commander.send(task)
        sent = {_number(attempt) for attempt in earlier}
        numbers = range(slot, plan.commands, plan.commanders)
        await commander.run([n for n in numbers if n not in sent], plan.callers)


def _number(attempt: Attempt) -> int:
    return int(attempt.sent.command.removeprefix("n"))


@contextlib.asynccontextmanager
async def opened(plan: Plan) -> AsyncGenerator[EventStore]:
    """The store, as soon as it can be opened."""
    async with contextlib.AsyncExitStack() as stack:
        while True:
            with contextlib.suppress(*TROUBLE):
                store = await stack.enter_async_context(
                    open_store(
                        URL, namespace=NAMESPACE, partitions=plan.partitions, durability="relaxed"
                    )
                )
                break
            await asyncio.sleep(RETRY)
        yield store


async def work(plan: Plan, mending: Mending | None) -> None:
    """Keep the view up to date, until the process ends."""
    async with opened(plan) as store:
        await Worker(store, new_read_model(mending), settings=_settings(plan)).run()


def _settings(plan: Plan) -> WorkerSettings:
    return PARKING if plan.parks else SETTINGS


async def rebuild_once(plan: Plan, mending: Mending | None) -> None:
    """Make the view anew; whatever stops it, the workers go on from there.

    A log that is rolled back under the new generation stops it loudly, as it does any view; and who
    finds it standing there drops it, and begins another one.
    """
    astray = (ViewHalted, NoGeneration) if plan.rolls_back else ()
    expected = (*TROUBLE, LeaseLost, *astray)
    async with opened(plan) as store:
        with contextlib.suppress(*expected):
            made = new_read_model(mending)
            await rebuild(store, made.projection("tally"), settings=_settings(plan))
