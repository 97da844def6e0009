"""Sends commands as a seed has them, and writes down what it sends, what it is told and reads.

``python -m tests.faults.commander ORDERS`` is a process that does it; ORDERS are JSON.
"""

import asyncio
import random
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import msgspec
import uvloop

from tests.faults.domain import model
from tests.faults.history import Attempt, Outcome, Recorder, recorded
from tests.faults.log import digest
from whence import Rejected, Runtime, open_store
from whence.actors.runtime import CommandRequest
from whence.store.errors import (
    Conflict,
    OutcomeUnknown,
    ServerRefused,
    StoreUnavailable,
    StreamNotFound,
    UnknownEventType,
)
from whence.store.ids import StreamId
from whence.store.metadata import Metadata

KIND = "account"
READS = 0.04
REPETITIONS = 0.15  # most meet a command without a key, and become a command of their own
KEYED = 0.3
INSISTING = 0.05
# Some of the last so many commands are still under way.
BACK = 60


class Task(NamedTuple):
    """One command; ``keyed`` with an idempotency key, which is its name."""

    name: str
    id: str
    command: str
    arguments: dict[str, Any]
    events: int
    keyed: bool
    insisting: bool


class Work:
    """The commands of a seed by their numbers: the same ones in every process.

    Args:
        back: a repetition is of one of the last so many commands.
    """

    def __init__(self, seed: int, aggregates: int, *, back: int = BACK) -> None:
        self._seed = seed
        self._aggregates = aggregates
        self._back = back

    def task(self, number: int) -> Task | str:
        """What to do: a command, which may be an earlier one again, or the id to read."""
        chance = random.Random(f"{self._seed} {number}")
        roll = chance.random()
        if roll < READS:
            return str(chance.randrange(self._aggregates))
        if roll < READS + REPETITIONS and number > self._back:
            earlier = self.command(number - chance.randint(1, self._back))
            if earlier.keyed:
                return earlier
        return self.command(number)

    def command(self, number: int) -> Task:
        chance = random.Random(f"{self._seed} {number} command")
        amounts = [chance.randint(1, 9) for _ in range(chance.randint(2, 5))]
        commands: list[tuple[str, dict[str, Any], int]] = [
            ("deposit", {"amount": amounts[0]}, 1),
            ("withdraw", {"amount": amounts[0] * amounts[1]}, 1),
            ("deposit_each", {"amounts": amounts}, len(amounts)),
        ]
        command, arguments, events = chance.choices(commands, weights=[4, 4, 1])[0]
        keyed = chance.random() < KEYED
        return Task(
            f"n{number}",
            str(chance.randrange(self._aggregates)),
            command,
            arguments,
            events,
            keyed,
            insisting=not keyed and chance.random() < INSISTING,
        )


class Commander:
    """Does the work through a runtime; each answer is written down before the next command.

    ``expected`` are the errors that a caller may be told; any other ends the work.
    """

    expected: ClassVar[tuple[type[Exception], ...]] = (
        Rejected,
        Conflict,
        StoreUnavailable,
        OutcomeUnknown,
    )

    def __init__(self, runtime: Runtime, recorder: Recorder, work: Work) -> None:
        self._runtime = runtime
        self._kind = runtime.model.aggregate(KIND)
        self._recorder = recorder
        self._work = work
        self._seen: dict[str, int] = {}  # versions by id, for commands that insist on one
        self.done = 0

    async def run(self, numbers: Iterable[int], callers: int) -> None:
        """The tasks of these numbers, taken in order by so many callers at once."""
        remaining = iter(numbers)
        await asyncio.gather(*[self._caller(remaining) for _ in range(callers)])

    async def _caller(self, numbers: Iterator[int]) -> None:
        for number in numbers:
            task = self._work.task(number)
            if isinstance(task, str):
                await self._read(task, whole=number % 2 == 0)
            else:
                await self.send(task)
            self.done += 1

    async def send(self, task: Task) -> None:
        expected = self._seen.get(task.id) if task.insisting else None
        stream = str(StreamId(KIND, task.id))
        number = self._recorder.sent(stream, task.name, events=task.events, expected=expected)
        request = CommandRequest(
            self._kind,
            self._kind.command(task.command),
            task.id,
            task.arguments,
            expected=expected,
            command_id=task.name if task.keyed else "",
            metadata=Metadata(correlation_id=task.name),
        )
        try:
            receipt = await self._runtime.execute(request)
        except self.expected as error:
            self._recorder.answered(number, _outcome(error))
        else:
            self._seen[task.id] = receipt.version
            data = [
                self._runtime.model.events.encode(event).data.decode() for event in receipt.events
            ]
            self._recorder.answered(number, "ok", receipt.versions, receipt.position, data)

    async def _read(self, id_: str, *, whole: bool) -> None:
        """Look at the state, or read all events."""
        stream = StreamId(KIND, id_)
        began = time.monotonic_ns()
        try:
            if whole:
                data = [record.data.decode() async for record in self._runtime.store.read(stream)]
                self._recorder.read(began, str(stream), len(data), digest(data))
            else:
                versioned = await self._runtime.get(self._kind.cls, id_)
                self._recorder.read(began, str(stream), versioned.version)
        except StreamNotFound:
            self._recorder.read(began, str(stream), 0)
        except (StoreUnavailable, ServerRefused):
            return


def _outcome(error: Exception) -> Outcome:
    match error:
        case Rejected():
            return "rejected"
        case Conflict():
            return "conflict"
        case StoreUnavailable() | ServerRefused() | UnknownEventType():
            return "unavailable"
        case _:
            return "unknown"


class Orders(msgspec.Struct, frozen=True):
    """What a process is to do: the numbers ``slot``, ``slot + slots`` and so on below ``count``.

    It goes on where the earlier lives of its slot were ended, whose history is in ``folder``.
    """

    url: str
    namespace: str
    folder: str
    seed: int
    aggregates: int
    callers: int
    count: int
    slots: int
    slot: int = 0
    life: int = 1

    @property
    def name(self) -> str:
        return f"{self.slot}.{self.life}"


def first_open(orders: Orders, earlier: Iterable[Attempt]) -> int:
    """The first number of the slot that none of its lives has sent."""
    numbers = (int(attempt.sent.command.removeprefix("n")) for attempt in earlier)
    own = [number for number in numbers if number % orders.slots == orders.slot]
    return max(own, default=orders.slot - orders.slots) + orders.slots


async def obey(orders: Orders) -> None:
    folder = Path(orders.folder)
    earlier = recorded(sorted(folder.glob(f"{orders.slot}.*"))).attempts
    work = Work(orders.seed, orders.aggregates)
    async with (
        open_store(orders.url, namespace=orders.namespace) as store,
        Runtime(store, model) as runtime,
    ):
        with Recorder(folder / orders.name, orders.name) as recorder:
            commander = Commander(runtime, recorder, work)
            for attempt in earlier:
                task = work.command(int(attempt.sent.command.removeprefix("n")))
                if attempt.answered is None and task.keyed:
                    await commander.send(task)
            numbers = range(first_open(orders, earlier), orders.count, orders.slots)
            await commander.run(numbers, orders.callers)


if __name__ == "__main__":
    uvloop.run(obey(msgspec.json.decode(sys.argv[1], type=Orders)))
