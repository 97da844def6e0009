"""One live aggregate: a mailbox, a state, and the loop that decides and appends."""

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from functools import partial

from whence.actors.fold import fold
from whence.actors.groupcommit import GroupCommit, Outcomes
from whence.actors.load import Loaded, load
from whence.actors.metrics import TypeMeter
from whence.actors.model import AggregateType, AnyAggregate
from whence.actors.plan import Job, Planner, Step
from whence.actors.receipt import Receipt
from whence.actors.snapshot import Snapshot
from whence.actors.snapshots import Snapshots
from whence.store.append import Committed, Conflicted, Duplicate, Outcome, last_checksum
from whence.store.errors import Conflict, StreamGap, StreamVanished
from whence.store.events import Event
from whence.store.eventstore import EventStore
from whence.store.ids import StreamId
from whence.store.recorded import Recorded
from whence.store.registry import EventRegistry

# How many waiting commands are decided in a row and appended together.
MAX_ROW = 64
# How often a row is decided anew because another process wrote first. One was seen to lose 40 times
# running; each of those times is progress for somebody.
MAX_ATTEMPTS = 100
# Seconds: the longest pause after a conflict, to fall out of step. A longer one, or one that grows,
# only gives the round to the other writer.
CONFLICT_PAUSE = 0.0002

_ONLY_COMMITTED = {Committed}


class Actor:
    """Handles the commands of one aggregate, one after the other, in memory.

    Between two commands it has no task and costs nothing but its state. What it holds is always
    what the log says at ``version``: what was decided but not stored is neither kept nor shown.
    """

    __slots__ = (
        "_busy",
        "_commit",
        "_events",
        "_fell_idle",
        "_idlers",
        "_kept",
        "_kind",
        "_loaded",
        "_mailbox",
        "_meter",
        "_partition",
        "_planner",
        "_row",
        "_snapshots",
        "_store",
        "_task",
        "last_used",
        "occurred_at_us",
        "state",
        "stream",
        "version",
        "weigh_at",
        "weight",
    )

    def __init__(
        self,
        stream: StreamId,
        kind: AggregateType,
        events: EventRegistry,
        store: EventStore,
        commit: GroupCommit,
        snapshots: Snapshots,
        meter: TypeMeter,
        fell_idle: Callable[["Actor"], None],
    ) -> None:
        self.stream = stream
        # For LiveActors, which estimates the weight in bytes once the version is ``weigh_at``.
        self.last_used = 0.0
        self.weight = 0
        self.weigh_at = 1
        self._kind = kind
        self._events = events
        self._store = store
        self._commit = commit
        self._snapshots = snapshots
        self._meter = meter
        self._fell_idle = fell_idle
        self._partition = store.keys.partition(stream)
        self._planner = Planner(stream, kind, events)
        # A list, for an empty deque takes as much memory as the rest of an actor.
        self._mailbox: list[Job] = []
        self._busy = False
        self._row: Sequence[Job] = ()
        self._idlers: Sequence[asyncio.Future[None]] = ()
        # Held because the event loop itself only holds tasks weakly.
        self._task: asyncio.Task[None] | None = None
        self._forget()

    def _forget(self) -> None:
        self.state: AnyAggregate = self._kind.cls()
        self.version: int = 0
        self.occurred_at_us: int = 0  # of the event at this version
        self._loaded: bool = False
        self._kept: int = 0  # the version of the last snapshot

    @property
    def busy(self) -> bool:
        return self._busy

    @property
    def waiting(self) -> int:
        """How many commands have not been decided yet."""
        return len(self._mailbox)

    def adopt(self, loaded: Loaded) -> None:
        """Take over what a reader has found in the log, unless a command is under way."""
        if self._busy or loaded.version <= self.version:
            return
        if not self._loaded:
            self._kept = loaded.snapshot
            self._loaded = True
        self.state, self.version = loaded.state, loaded.version
        self.occurred_at_us = loaded.occurred_at_us
        self._fell_idle(self)

    async def idle(self) -> None:
        """Wait until the mailbox is empty and the last command is done."""
        while self._busy:
            fell_idle: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._idlers = (*self._idlers, fell_idle)
            await fell_idle

    def post(self, job: Job) -> None:
        """Put a command into the mailbox; its future gets the receipt or the error."""
        self._mailbox.append(job)
        if not self._busy:
            self._busy = True
            self._next_row()

    def _next_row(self) -> None:
        """Decide the commands that wait, and submit them; or fall idle.

        This is the way of nearly every command, and needs no task. Whatever takes more than one
        append (loading, catching up, another attempt) goes on in ``_handle``.
        """
        if not self._mailbox:
            self._fall_idle()
            return
        self._row = jobs = self._mailbox[:MAX_ROW]
        del self._mailbox[:MAX_ROW]
        steps = self._plan(jobs) if self._loaded else []
        appends = [step.append for step in steps if step.append is not None]
        if appends:
            self._mailbox[:0] = jobs[len(steps) :]
            self._commit.submit(appends, partial(self._on_outcomes, steps))
        else:
            self._task = asyncio.create_task(self._handle(jobs))

    def _plan(self, jobs: Sequence[Job]) -> list[Step]:
        start = time.perf_counter()
        steps = self._planner.plan(jobs, self.state, self.version)
        self._meter.decided(len(steps), time.perf_counter() - start)
        return steps

    def _on_outcomes(self, steps: list[Step], outcomes: Outcomes) -> None:
        if isinstance(outcomes, Exception) or {*map(type, outcomes)} != _ONLY_COMMITTED:
            self._task = asyncio.create_task(self._handle_outcomes(steps, outcomes))
            return
        remaining = iter(outcomes)
        for step in steps:
            self._answer(step, None if step.append is None else next(remaining))
        self._next_row()

    async def _handle_outcomes(self, steps: list[Step], outcomes: Outcomes) -> None:
        jobs = [step.job for step in steps]
        try:
            if isinstance(outcomes, Exception):
                raise outcomes
            jobs = await self._settle(steps, outcomes)
        except Exception as error:  # it belongs to the callers
            self._fail(jobs, error)
            jobs = []
        if jobs:
            self._meter.retries += 1
        await self._handle(jobs)

    async def _handle(self, jobs: list[Job]) -> None:
        """Decide the commands in a row and append them together; again after a conflict."""
        attempt = 0
        try:
            while jobs:
                before = len(jobs)
                jobs = await self._attempt(jobs)
                attempt = attempt + 1 if len(jobs) == before else 0
                if attempt == MAX_ATTEMPTS:
                    raise Conflict(self.stream, None, self.version, attempts=attempt)
                if attempt:
                    self._meter.retries += 1
                    await asyncio.sleep(random.uniform(0, CONFLICT_PAUSE))  # noqa: S311
        except Exception as error:  # it belongs to the callers
            self._fail(jobs, error)
        finally:
            self._next_row()

    def _fail(self, jobs: Sequence[Job], error: Exception) -> None:
        # Whatever went wrong, the log knows better than this memory; but of events that vanished
        # this memory is the only witness, and must not begin the stream anew.
        if not isinstance(error, StreamVanished):
            self._forget()
        for job in jobs:
            _refuse(job, error)

    def abandon(self, error: Exception) -> None:
        """Tell everybody who still waits that nobody will answer any more."""
        for job in (*self._row, *self._mailbox):
            _refuse(job, error)

    def _fall_idle(self) -> None:
        self._busy = False
        self._row = ()
        self._task = None
        for fell_idle in self._idlers:
            if not fell_idle.done():
                fell_idle.set_result(None)
        self._idlers = ()
        self._fell_idle(self)

    async def _attempt(self, jobs: list[Job]) -> list[Job]:
        """Decide and append once; returns the commands that are still to be handled."""
        fresh = not self._loaded
        if fresh:
            await self._load()
        steps = self._plan(jobs)
        appends = [step.append for step in steps if step.append is not None]
        # What stores nothing is only answered on a state that is surely the newest.
        if not appends and not fresh and await self._catch_up():
            steps = self._plan(jobs)
            appends = [step.append for step in steps if step.append is not None]
        again = await self._settle(steps, await self._commit.append(appends) if appends else ())
        return again + jobs[len(steps) :]

    async def _settle(
        self, steps: list[Step], outcomes: Sequence[Outcome | Exception]
    ) -> list[Job]:
        """Answer what the outcomes prove; returns the commands that have to be decided anew.

        Only an append that was just committed proves that the state before it was the newest, and
        so what was refused on that state, and on the one after it. A repetition proves neither, and
        what was decided on top of an append that is not stored was decided on what never was.
        """
        remaining = iter(outcomes)
        proven = not outcomes  # then the newest state was looked up just now
        unproven: list[Step] = []
        anew: list[Step] = []
        for number, step in enumerate(steps):
            outcome = None if step.append is None else next(remaining)
            if outcome is None and not proven:
                unproven.append(step)
                continue
            if isinstance(outcome, Conflicted):
                await self._catch_up_with(outcome)
                return [again.job for again in (*anew, *unproven, *steps[number:])]
            if isinstance(outcome, Committed):
                proven = True
                for earlier in unproven:
                    self._answer(earlier, None)
            elif outcome is not None:
                proven = False
                anew += unproven
            if outcome is not None:
                unproven = []
            in_place = self._in_place(outcome)
            self._answer(step, outcome)
            if not in_place:
                anew += steps[number + 1 :]
                break
        return [again.job for again in (*anew, *unproven)]

    def _in_place(self, outcome: Outcome | Exception | None) -> bool:
        """Whether the log has at this place what the plan has; a step without events needs none."""
        if isinstance(outcome, Duplicate):
            return outcome.records[0].version == self.version + 1
        return not isinstance(outcome, Exception)

    def _answer(self, step: Step, outcome: Outcome | Exception | None) -> None:
        """Tell the caller of one step; a conflict has no answer but another attempt."""
        if isinstance(outcome, Committed):
            self._committed(step, outcome)
        elif isinstance(outcome, Duplicate):
            # A repeated command may have been stored long ago, or after what is known here.
            if self._in_place(outcome):
                self._apply(outcome.records)
            _resolve(step.job, Receipt.repeating(outcome.records, self._events))
        elif isinstance(outcome, Exception):
            _refuse(step.job, outcome)
        elif step.error is not None:
            _refuse(step.job, step.error)
        else:
            _resolve(step.job, self._receipt(0, 0, (), ()))

    def _committed(self, step: Step, outcome: Committed) -> None:
        assert step.append is not None
        self.state, self.version = step.state, step.version
        self.occurred_at_us = outcome.occurred_at_us
        if self._snapshots.due(self.stream, self.version - self._kept):
            self._keep(last_checksum(step.append, outcome))
        events = tuple([new.encoded.event for new in step.append.events])
        versions = range(self.version - len(events) + 1, self.version + 1)
        last = outcome.position + len(events) - 1
        _resolve(step.job, self._receipt(last, outcome.occurred_at_us, events, versions))

    def _receipt(
        self, position: int, occurred: int, events: tuple[Event, ...], versions: Sequence[int]
    ) -> Receipt:
        return Receipt(
            self.stream, self.version, self._partition, position, occurred, events, versions
        )

    async def _catch_up_with(self, conflict: Conflicted) -> None:
        """Apply the events that the answer brought along, and read what it had no room for."""
        self._meter.conflicts += 1
        if conflict.head < self.version:
            raise StreamVanished(self.stream, self.version, conflict.head)
        self._apply(conflict.missed)
        if self.version < conflict.head:
            await self._catch_up()

    async def _load(self) -> None:
        """Begin with what the log has."""
        loaded = await load(self._store, self._events, self._kind, self.stream)
        self.state, self.version, self._kept = loaded.state, loaded.version, loaded.snapshot
        self.occurred_at_us = loaded.occurred_at_us
        self._loaded = True
        self._meter.loads += 1
        if self._snapshots.due(self.stream, self.version - self._kept):
            self._keep(loaded.checksum)

    def _keep(self, checksum: int) -> None:
        """Offer the state for a snapshot; ``checksum`` is that of the event at its version."""
        self._kept = self.version
        snapshot = Snapshot(self.stream, self.version, checksum, self.state)
        self._snapshots.offer(self._kind, snapshot)

    async def _catch_up(self) -> bool:
        """Read what is newer than the state in memory; True if there was anything."""
        before = self.version
        async for record in self._store.read(self.stream, first=self.version + 1):
            self._apply([record])
        return self.version != before

    def _apply(self, records: Sequence[Recorded]) -> None:
        for expected, record in enumerate(records, self.version + 1):
            if record.version != expected:
                raise StreamGap(self.stream, expected, record.version)
        if records:
            self.state = fold(self._events, self.state, records)
            self.version = records[-1].version
            self.occurred_at_us = records[-1].occurred_at_us


def _resolve(job: Job, receipt: Receipt) -> None:
    if not job.done.done():  # the caller may have gone
        job.done.set_result(receipt)


def _refuse(job: Job, error: Exception) -> None:
    if not job.done.done():
        job.done.set_exception(error)
