"""One live aggregate: a mailbox, a state, and the loop that decides and appends."""

import asyncio
import random
from collections import deque
from collections.abc import Sequence

from whence.actors.groupcommit import GroupCommit
from whence.actors.model import AggregateType
from whence.actors.plan import Job, Planner, Step
from whence.actors.receipt import Receipt
from whence.store.append import Committed, Conflicted, Duplicate, Outcome
from whence.store.errors import Conflict, StreamVanished
from whence.store.events import Event
from whence.store.eventstore import EventStore
from whence.store.ids import StreamId
from whence.store.recorded import Recorded
from whence.store.registry import EventRegistry

# How many waiting commands are decided in a row and appended together.
MAX_ROW = 64
# How often a row is decided anew because another process wrote first. A writer that always comes
# first was seen to win 40 times in a row, and each of those times is progress for somebody.
MAX_ATTEMPTS = 100
# Seconds: the longest pause after a conflict, to fall out of step. A longer one, or one that grows,
# only gives the round to the other writer.
CONFLICT_PAUSE = 0.0002


class Actor:
    """Handles the commands of one aggregate, one after the other, in memory.

    Between two commands it has no task and costs nothing but its state. What it holds is always
    what the log says at ``version``: what was decided but not stored is neither kept nor shown.
    """

    __slots__ = (
        "_commit",
        "_events",
        "_kind",
        "_loaded",
        "_mailbox",
        "_partition",
        "_planner",
        "_store",
        "_task",
        "last_used",
        "state",
        "stream",
        "version",
    )

    def __init__(
        self,
        stream: StreamId,
        kind: AggregateType,
        events: EventRegistry,
        store: EventStore,
        commit: GroupCommit,
    ) -> None:
        self.stream = stream
        self.last_used = 0.0
        self._kind = kind
        self._events = events
        self._store = store
        self._commit = commit
        self._partition = store.keys.partition(stream)
        self._planner = Planner(stream, kind, events)
        self._mailbox: deque[Job] = deque()
        self._task: asyncio.Task[None] | None = None
        self._forget()

    def _forget(self) -> None:
        self.state = self._kind.cls()
        self.version = 0
        self._loaded = False

    @property
    def busy(self) -> bool:
        return self._task is not None

    async def idle(self) -> None:
        """Wait until the mailbox is empty and the last command is done."""
        while self._task is not None:
            await asyncio.wait([self._task])

    def post(self, job: Job) -> None:
        """Put a command into the mailbox; its future gets the receipt or the error."""
        self._mailbox.append(job)
        if self._task is None:
            self._task = asyncio.create_task(self._drain())

    async def _drain(self) -> None:
        try:
            while self._mailbox:
                count = min(len(self._mailbox), MAX_ROW)
                await self._handle([self._mailbox.popleft() for _ in range(count)])
        finally:
            self._task = None

    async def _handle(self, jobs: list[Job]) -> None:
        """Decide the commands in a row and append them together; again after a conflict."""
        attempt = 0
        try:
            while jobs and attempt < MAX_ATTEMPTS:
                jobs = await self._attempt(jobs)
                attempt += 1
                if jobs:
                    await asyncio.sleep(random.uniform(0, CONFLICT_PAUSE))  # noqa: S311
            if jobs:
                raise Conflict(self.stream, None, self.version, attempts=attempt)
        except Exception as error:  # it belongs to the callers, not to this loop
            self._forget()  # whatever went wrong, the log knows better than this memory
            for job in jobs:
                _refuse(job, error)

    async def _attempt(self, jobs: list[Job]) -> list[Job]:
        """Decide and append once; returns the commands that another writer came before."""
        fresh = not self._loaded
        if fresh:
            await self._catch_up()
        steps = self._planner.plan(jobs, self.state, self.version)
        appends = [step.append for step in steps if step.append is not None]
        # What stores nothing is only answered on a state that is surely the newest.
        if not appends and not fresh and await self._catch_up():
            steps = self._planner.plan(jobs, self.state, self.version)
            appends = [step.append for step in steps if step.append is not None]
        outcomes = await self._commit.append(appends) if appends else []
        return await self._settle(steps, outcomes)

    async def _settle(
        self, steps: list[Step], outcomes: Sequence[Outcome | Exception]
    ) -> list[Job]:
        """Answer the steps up to the first conflict; returns the commands from there on."""
        if outcomes and isinstance(outcomes[0], Conflicted):
            # Even what was refused before it was refused on a state that is not the newest.
            await self._catch_up_with(outcomes[0])
            return [step.job for step in steps]
        remaining = iter(outcomes)
        for number, step in enumerate(steps):
            outcome = None if step.append is None else next(remaining)
            if isinstance(outcome, Conflicted):
                await self._catch_up_with(outcome)
                return [later.job for later in steps[number:]]
            self._answer(step, outcome)
        return []

    def _answer(self, step: Step, outcome: Committed | Duplicate | Exception | None) -> None:
        """Tell the caller of one step, now that all steps before it are stored."""
        match outcome:
            case Committed(_, position, occurred):
                assert step.append is not None
                self.state, self.version = step.state, step.version
                events = tuple([new.encoded.event for new in step.append.events])
                versions = range(self.version - len(events) + 1, self.version + 1)
                last = position + len(events) - 1
                _resolve(step.job, self._receipt(last, occurred, events, versions))
            case Duplicate(records):
                _resolve(step.job, self._repeated(records))
            case None if step.error is None:
                _resolve(step.job, self._receipt(0, 0, (), ()))
            case _:
                _refuse(step.job, outcome or step.error)

    def _repeated(self, records: Sequence[Recorded]) -> Receipt:
        """The receipt of a command that stored these before, perhaps in an older release."""
        self._apply(records)
        pairs = [(e, r.version) for r in records for e in self._events.decode_all(r)]
        events, versions = tuple([event for event, _ in pairs]), [version for _, version in pairs]
        return self._receipt(records[-1].position, records[0].occurred_at_us, events, versions)

    def _receipt(
        self, position: int, occurred: int, events: tuple[Event, ...], versions: Sequence[int]
    ) -> Receipt:
        return Receipt(
            self.stream, self.version, self._partition, position, occurred, events, versions
        )

    async def _catch_up_with(self, conflict: Conflicted) -> None:
        """Apply the events that the answer brought along, and read what it had no room for."""
        if conflict.head < self.version:
            raise StreamVanished(self.stream, self.version, conflict.head)
        self._apply(conflict.missed)
        if self.version < conflict.head:
            await self._catch_up()

    async def _catch_up(self) -> bool:
        """Read what is newer than the state in memory; True if there was anything."""
        before = self.version
        async for record in self._store.read(self.stream, first=self.version + 1):
            self._apply([record])
        self._loaded = True
        return self.version != before

    def _apply(self, records: Sequence[Recorded]) -> None:
        for record in records:
            for event in self._events.decode_all(record):
                self.state = self.state.apply(event)
            self.version = record.version


def _resolve(job: Job, receipt: Receipt) -> None:
    if not job.done.done():  # the caller may have gone
        job.done.set_result(receipt)


def _refuse(job: Job, error: Exception | None) -> None:
    if not job.done.done():
        job.done.set_exception(error or AssertionError("refused without a reason"))
