"""One live aggregate: a mailbox, a state, and the loop that decides and appends."""

import asyncio
import copy
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import cast

import msgspec

from whence.actors.capacity import Capacity
from whence.actors.fold import fold
from whence.actors.groupcommit import GroupCommit
from whence.actors.load import Loaded, load
from whence.actors.metrics import Meters
from whence.actors.model import AggregateType, AnyAggregate
from whence.actors.plan import Job, Plan, Planner, Step
from whence.actors.receipt import Receipt
from whence.actors.settle import settle
from whence.actors.snapshot import Snapshot
from whence.actors.snapshots import Snapshots
from whence.store.append import Append, Committed, Conflicted, Duplicate, Outcome, last_checksum
from whence.store.appender import Outcomes
from whence.store.errors import (
    Conflict,
    OutcomeUnknown,
    StoreUnavailable,
    StreamGap,
    StreamVanished,
    WhenceError,
)
from whence.store.eventstore import EventStore
from whence.store.ids import StreamId
from whence.store.recorded import Recorded
from whence.store.registry import EventRegistry

# How many waiting commands are decided in a row and appended together. An actor has one row under
# way at a time, so this is also what keeps a hot aggregate from crowding out the others.
MAX_ROW = 64
# Seconds: the longest pause after a conflict, to fall out of step. A longer one, or one that grows,
# only gives the round to the other writer.
CONFLICT_PAUSE = 0.0002

_ONLY_COMMITTED = {Committed}


class Surroundings(msgspec.Struct, frozen=True):
    """What all actors of a runtime share.

    ``max_attempts`` is how often a command is decided, ``fell_idle`` is told of each actor that has
    nothing to do any more.
    """

    store: EventStore
    events: EventRegistry
    commit: GroupCommit
    snapshots: Snapshots
    capacity: Capacity
    meters: Meters
    max_attempts: int
    fell_idle: Callable[["Actor"], None]


class Actor:
    """Handles the commands of one aggregate, one after the other, in memory.

    Between two commands it has no task and costs nothing but its state. What it holds is always
    what the log says at ``version``: what was decided but not stored is neither kept nor shown.
    """

    __slots__ = (
        "_around",
        "_conflicts",
        "_kept",
        "_kind",
        "_loaded",
        "_mailbox",
        "_meter",
        "_partition",
        "_planner",
        "_row",
        "_task",
        "_timed",
        "busy",
        "last_used",
        "occurred_at_us",
        "state",
        "stream",
        "version",
        "weigh_at",
        "weight",
    )

    def __init__(self, stream: StreamId, kind: AggregateType, around: Surroundings) -> None:
        self.stream = stream
        # For LiveActors, which estimates the weight in bytes once the version is ``weigh_at``.
        self.last_used = 0.0
        self.weight = 0
        self.weigh_at = 1
        self.busy = False
        self._kind = kind
        self._around = around
        self._meter = around.meters.types[kind.name]
        self._partition = around.store.keys.partition(stream)
        self._planner = Planner(stream, kind, around.events)
        self._mailbox: list[Job] = []  # no deque: an empty one takes ten times the memory
        self._row: Sequence[Job] = ()  # what was taken out of the mailbox last
        self._conflicts = 0  # of this row, until now
        self._timed = False  # whether a command with a deadline has come since it was idle
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
    def waiting(self) -> int:
        """How many of its commands have no answer yet."""
        return len(self._mailbox) + len(self._row)

    def adopt(self, loaded: Loaded) -> None:
        """Take over what a reader has found in the log, unless a command is under way."""
        if self.busy or loaded.version <= self.version:
            return
        if not self._loaded:
            self._kept = loaded.snapshot
            self._loaded = True
        self._stand_at(loaded.state, loaded.version, loaded.occurred_at_us)
        self._around.fell_idle(self)

    def _stand_at(self, state: AnyAggregate, version: int, occurred_at_us: int) -> None:
        self.state, self.version, self.occurred_at_us = state, version, occurred_at_us

    def post(self, job: Job) -> None:
        """Put a command into the mailbox; its future gets the receipt or the error.

        The capacity has taken it into account, and is told when it is answered.
        """
        self._mailbox.append(job)
        if job.deadline is not None:
            self._timed = True
        if not self.busy:
            self.busy = True
            self._begin_row()

    def _next_row(self) -> None:
        """The row is done: begin another one, or fall idle."""
        if self._row:
            self._around.capacity.release(len(self._row))
            self._row = ()
        if self._mailbox:
            self._begin_row()
            return
        self.busy = self._timed = False
        self._task = None
        self._around.fell_idle(self)

    def _begin_row(self) -> None:
        """Decide the commands that wait, and submit them.

        This is the way of nearly every command, and needs no task. Whatever takes more than one
        append (loading, catching up, another attempt) goes on in a task.
        """
        self._conflicts = 0
        jobs, self._mailbox = self._mailbox, []
        if len(jobs) > MAX_ROW:
            jobs, self._mailbox = jobs[:MAX_ROW], jobs[MAX_ROW:]
        if self._timed:
            taken, jobs = len(jobs), _in_time(jobs)
            self._around.capacity.release(taken - len(jobs))
        self._row = jobs
        plan = self._plan(jobs) if self._loaded else _NO_PLAN
        if plan.appends:
            if len(plan.steps) < len(jobs):  # the plan ended early
                self._row, self._mailbox[:0] = jobs[: len(plan.steps)], jobs[len(plan.steps) :]
            if self._timed:
                _meet_deadlines(plan)
            done = partial(self._on_outcomes, plan)
            self._around.commit.submit(plan.appends, plan.events, plan.size, done)
        else:
            self._see_through(partial(self._attempt, jobs))

    def _plan(self, jobs: Sequence[Job]) -> Plan:
        start = time.perf_counter()
        plan = self._planner.plan(jobs, self.state, self.version, self.occurred_at_us)
        if plan.steps:
            self._meter.decided(len(plan.steps), time.perf_counter() - start)
        return plan

    def _on_outcomes(self, plan: Plan, outcomes: Outcomes) -> None:
        if isinstance(outcomes, Exception):
            self._fail(outcomes)
        elif {*map(type, outcomes)} == _ONLY_COMMITTED:
            self._all_committed(plan, cast("Sequence[Committed]", outcomes))
        else:
            self._see_through(partial(self._settle, plan, outcomes))
            return
        self._next_row()

    def _all_committed(self, plan: Plan, outcomes: Sequence[Committed]) -> None:
        """What ``settle`` would say, for what happens nearly always: everything is proven."""
        remaining = iter(outcomes)
        for step in plan.steps:
            if step.append is None:
                self._answer(step, None)
            else:
                _resolve(step.job, self._receipt(step.version, step.append, next(remaining)))
        self._reach(plan.steps[-1], plan.appends[-1], outcomes[-1])

    def _see_through(self, begin: Callable[[], Awaitable[list[Job]]]) -> None:
        self._task = asyncio.create_task(self._until_answered(begin))

    async def _until_answered(self, begin: Callable[[], Awaitable[list[Job]]]) -> None:
        """Begin, and go on with the commands that are left over, until there are none."""
        try:
            jobs = await begin()
            while jobs:
                jobs = await self._attempt(jobs)
        except Exception as error:  # it belongs to the callers
            self._fail(error)
        finally:
            self._next_row()

    async def _attempt(self, jobs: list[Job]) -> list[Job]:
        """Decide and append once; returns the commands that are still to be handled."""
        newest = not self._loaded
        if newest:
            await self._load()
        plan = self._plan(jobs := _in_time(jobs))
        # What stores nothing is only answered on a state that is surely the newest.
        if not plan.appends and not newest and jobs and await self._catch_up():
            plan = self._plan(jobs := _in_time(jobs))
        again = jobs[len(plan.steps) :]
        if plan.appends:
            _meet_deadlines(plan)
            return await self._settle(plan, await self._around.commit.append(plan.appends)) + again
        for step in plan.steps:
            self._answer(step, None)
        return again

    async def _settle(self, plan: Plan, outcomes: Sequence[Outcome | Exception]) -> list[Job]:
        """Do what the outcomes lead to; returns the commands that have to be decided anew."""
        settled = settle(plan.steps, outcomes)
        if settled.reached is not None:
            self._reach(*settled.reached)
        for step, outcome in settled.answers:
            self._answer(step, outcome)
        anew = [step.job for step in settled.anew]
        if anew:
            self._meter.retries += 1
        for job in anew:
            if job.deadline is not None:
                job.deadline.reopen()
        if settled.conflict is not None:
            await self._give_way(settled.conflict)
        return anew

    def _reach(self, step: Step, append: Append, outcome: Committed | Duplicate) -> None:
        """Take over the state after a step; ``append`` was the last one, and the log has it."""
        if isinstance(outcome, Committed):
            self._stand_at(step.state, step.version, outcome.occurred_at_us)
            if self._snapshot_due():
                self._keep(last_checksum(append, outcome))
        else:
            last = outcome.records[-1]
            self._stand_at(step.state, step.version, last.occurred_at_us)
            if self._snapshot_due():
                self._keep(last.checksum)

    async def _give_way(self, conflict: Conflicted) -> None:
        """Catch up with those who came first: what the answer brought, and what it had no room for.

        Raises:
            Conflict: that was the last attempt.
            StreamVanished: nobody came first, events were lost.
        """
        if conflict.head < self.version:
            raise StreamVanished(self.stream, self.version, conflict.head)
        self._meter.conflicts += 1
        self._apply(conflict.missed)
        if self.version < conflict.head:
            await self._catch_up()
        self._conflicts += 1
        if self._conflicts >= self._around.max_attempts:
            raise Conflict(self.stream, None, self.version, attempts=self._conflicts)
        await asyncio.sleep(random.uniform(0, CONFLICT_PAUSE))  # noqa: S311

    def _answer(self, step: Step, outcome: Committed | Duplicate | Exception | None) -> None:
        """Tell the caller of one step; without an outcome, what the step itself says."""
        if isinstance(outcome, Committed):
            assert step.append is not None
            _resolve(step.job, self._receipt(step.version, step.append, outcome))
        elif isinstance(outcome, Duplicate):
            _resolve(step.job, Receipt.repeating(outcome.records, self._around.events))
        elif outcome is not None:
            _refuse(step.job, outcome)
        elif step.error is not None:
            _refuse(step.job, step.error)
        else:
            receipt = Receipt(self.stream, step.version, self._partition, 0, 0, (), ())
            _resolve(step.job, receipt)

    def _receipt(self, version: int, append: Append, outcome: Committed) -> Receipt:
        events = tuple([new.encoded.event for new in append.events])
        return Receipt(
            self.stream,
            version,
            self._partition,
            outcome.position + len(events) - 1,
            outcome.occurred_at_us,
            events,
            range(outcome.version, version + 1),
        )

    def _fail(self, error: Exception) -> None:
        """Refuse whoever of the row has no answer yet."""
        # Whatever went wrong, the log knows better than this memory; but of events that vanished
        # this memory is the only witness, and must not begin the stream anew.
        if not isinstance(error, StreamVanished):
            self._forget()
        for job in self._row:
            _refuse(job, _own(error))

    def abandon(self) -> None:
        """Answer everybody who still waits, because this process ends."""
        where = self._around.store.address.shown
        waiting, self._mailbox = self._mailbox, []
        for job in waiting:
            _refuse(job, StoreUnavailable(where, "this process is shutting down"))
        for job in self._row:
            _refuse(job, OutcomeUnknown(f"a command to {self.stream}", "this process has ended"))
        if self._task is not None:
            self._task.cancel()

    async def _load(self) -> None:
        """Begin with what the log has."""
        around = self._around
        loaded = await load(around.store, around.events, self._kind, self.stream)
        self._stand_at(loaded.state, loaded.version, loaded.occurred_at_us)
        self._kept, self._loaded = loaded.snapshot, True
        self._meter.loads += 1
        if self._snapshot_due():
            self._keep(loaded.checksum)

    def _snapshot_due(self) -> bool:
        return self._around.snapshots.due(self.stream, self.version - self._kept)

    def _keep(self, checksum: int) -> None:
        """Offer the state for a snapshot; ``checksum`` is that of the event at its version."""
        self._kept = self.version
        snapshot = Snapshot(self.stream, self.version, checksum, self.state)
        self._around.snapshots.offer(self._kind, snapshot)

    async def _catch_up(self) -> bool:
        """Read what is newer than the state in memory; True if there was anything."""
        before = self.version
        async for record in self._around.store.read(self.stream, first=self.version + 1):
            self._apply([record])
        return self.version != before

    def _apply(self, records: Sequence[Recorded]) -> None:
        for expected, record in enumerate(records, self.version + 1):
            if record.version != expected:
                raise StreamGap(self.stream, expected, record.version)
        if records:
            state, last = fold(self._around.events, self.state, records), records[-1]
            self._stand_at(state, last.version, last.occurred_at_us)


_NO_PLAN = Plan([], [])


def _in_time(jobs: list[Job]) -> list[Job]:
    """Those that may still be decided; the callers of the others know that they may not."""
    return [job for job in jobs if job.deadline is None or not job.deadline.missed()]


def _meet_deadlines(plan: Plan) -> None:
    for step in plan.steps:
        if step.job.deadline is not None:
            step.job.deadline.meet()


def _resolve(job: Job, receipt: Receipt) -> None:
    if not job.done.done():  # the caller may have gone
        job.done.set_result(receipt)


def _refuse(job: Job, error: Exception) -> None:
    if not job.done.done():
        job.done.set_exception(error)


def _own(error: Exception) -> Exception:
    """The error of many as an object for one: whoever raises an error writes into it."""
    if not isinstance(error, WhenceError):
        return error
    own = copy.copy(error)
    own.__cause__ = error.__cause__
    return own
