"""One live aggregate: a mailbox, a state, and the loop that decides and appends."""

import asyncio
import random
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

from whence.actors.aggregate import Decision
from whence.actors.groupcommit import GroupCommit
from whence.actors.model import AggregateType, AnyAggregate
from whence.actors.receipt import Receipt
from whence.store.append import Append, Committed, Conflicted, Duplicate, NewEvent
from whence.store.errors import Conflict, InvalidEvent, InvalidInput, Rejected, StreamVanished
from whence.store.events import Event
from whence.store.eventstore import EventStore
from whence.store.ids import StreamId
from whence.store.metadata import NO_METADATA, Metadata, encode_metadata
from whence.store.recorded import Recorded
from whence.store.registry import Encoded, EventRegistry

# How often one command is decided anew because another process wrote first.
MAX_ATTEMPTS = 20
# Seconds: the longest pause after the first conflict; it grows with each further one.
CONFLICT_PAUSE = 0.002

# After these the state in memory is still what the log says.
_NOTHING_HAPPENED = (Rejected, Conflict, InvalidInput)


class Job(NamedTuple):
    """A command in the mailbox, and the future of the caller who waits for it."""

    decide: Callable[[AnyAggregate], Decision]
    command_id: str
    expected: int | None
    metadata: Metadata
    done: asyncio.Future[Receipt]


class Decided(NamedTuple):
    """Events that a command decided, as they will be stored, and the state after them."""

    encoded: list[Encoded]
    state: AnyAggregate


class Actor:
    """Handles the commands of one aggregate, one after the other, in memory.

    Between two commands it has no task and costs nothing but its state. What it holds is always
    what the log says at ``version``: a state that was decided but not stored is never kept.
    """

    __slots__ = (
        "_commit",
        "_events",
        "_kind",
        "_loaded",
        "_mailbox",
        "_position",
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
                await self._handle(self._mailbox.popleft())
        finally:
            self._task = None

    async def _handle(self, job: Job) -> None:
        try:
            receipt = await self._decide_and_append(job)
        except Exception as error:  # it belongs to the caller, not to this loop
            if not isinstance(error, _NOTHING_HAPPENED):
                self._forget()  # the log knows better than this memory
            if not job.done.done():
                job.done.set_exception(error)
        else:
            if not job.done.done():
                job.done.set_result(receipt)

    async def _decide_and_append(self, job: Job) -> Receipt:
        for attempt in range(MAX_ATTEMPTS):
            decided = await self._decide(job)
            if not decided.encoded:
                return Receipt(self.stream, self.version, self._partition, 0, 0, ())
            outcome = await self._commit.append(self._append_of(job, decided.encoded))
            match outcome:
                case Committed():
                    return self._committed(decided, outcome)
                case Duplicate(records):
                    return self._recognised(records)
                case Conflicted():
                    await self._catch_up_with(outcome)
            if job.expected is not None:
                raise Conflict(self.stream, job.expected, self.version)
            await asyncio.sleep(random.uniform(0, CONFLICT_PAUSE * attempt))  # noqa: S311
        raise Conflict(self.stream, None, self.version, attempts=MAX_ATTEMPTS)

    async def _decide(self, job: Job) -> Decided:
        """Decide on the state in memory; a "no" is only given on a state that is surely current."""
        fresh = not self._loaded
        if fresh:
            await self.catch_up()
        while True:
            try:
                if job.expected is not None and job.expected != self.version:
                    raise Conflict(self.stream, job.expected, self.version)
                decided = self._applied(job.decide(self.state))
            except (Rejected, Conflict):
                if fresh or not await self.catch_up():
                    raise
            else:
                if decided.encoded or fresh or not await self.catch_up():
                    return decided

    def _applied(self, decision: Decision) -> Decided:
        """Fold the decision as every later reader will: from the bytes that will be stored."""
        state = self.state
        encoded = [self._encoded(event) for event in _as_events(decision)]
        for one in encoded:
            state = state.apply(one.event)
        return Decided(encoded, state)

    def _encoded(self, event: Event) -> Encoded:
        if type(event) not in self._kind.events:
            raise InvalidEvent(
                f"a command of {self._kind.cls.__name__} returned {event!r}, "
                "which is none of the events in its class line"
            )
        return self._events.encode(event)

    def _append_of(self, job: Job, encoded: Sequence[Encoded]) -> Append:
        metadata = b"" if job.metadata is NO_METADATA else encode_metadata(job.metadata)
        events = [NewEvent(one, metadata) for one in encoded]
        return Append(self.stream, self.version, job.command_id, events)

    def _committed(self, decided: Decided, outcome: Committed) -> Receipt:
        count = len(decided.encoded)
        self.state = decided.state
        self.version += count
        return Receipt(
            self.stream,
            self.version,
            self._partition,
            outcome.position + count - 1,
            outcome.occurred_at_us,
            tuple([one.event for one in decided.encoded]),
        )

    def _recognised(self, records: Sequence[Recorded]) -> Receipt:
        events = tuple([self._events.decode(record) for record in records])
        self._apply(records)
        first, last = records[0], records[-1]
        return Receipt(
            self.stream,
            last.version,
            last.partition,
            last.position,
            first.occurred_at_us,
            events,
        )

    @property
    def _partition(self) -> int:
        return self._store.keys.partition(self.stream)

    async def _catch_up_with(self, conflict: Conflicted) -> None:
        """Apply the events that the answer brought along, and read what it had no room for."""
        if conflict.head < self.version:
            raise StreamVanished(self.stream, self.version, conflict.head)
        self._apply(conflict.missed)
        if self.version < conflict.head:
            await self.catch_up()

    async def catch_up(self) -> bool:
        """Read what is newer than the state in memory; True if there was anything."""
        before = self.version
        async for record in self._store.read(self.stream, first=self.version + 1):
            self._apply([record])
        self._loaded = True
        return self.version != before

    def _apply(self, records: Sequence[Recorded]) -> None:
        for record in records:
            self.state = self.state.apply(self._events.decode(record))
            self.version = record.version


def _as_events(decision: Any) -> Sequence[Event]:
    if decision is None:
        return ()
    if isinstance(decision, Event):
        return (decision,)
    if isinstance(decision, (list, tuple)):
        return cast("Sequence[Event]", decision)  # each one is checked when it is encoded
    raise InvalidEvent(
        f"a command returned {decision!r}: return one event, a list or tuple of events, or None"
    )
