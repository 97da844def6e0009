"""What a row of commands decides, one after the other, on a state in memory."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, cast

import msgspec

from whence.actors.aggregate import Decision
from whence.actors.deadline import Deadline
from whence.actors.model import AggregateType, AnyAggregate
from whence.actors.receipt import Receipt
from whence.store.append import Append, NewEvent, Remember, check_append
from whence.store.errors import Conflict, InvalidEvent
from whence.store.events import Event
from whence.store.ids import StreamId
from whence.store.metadata import Metadata, encode_metadata
from whence.store.registry import Encoded, EventRegistry

# A row goes out whole, in one call: no more than this, and what the last command brings.
MAX_EVENTS_PER_ROW = 1_000
MAX_BYTES_PER_ROW = 1_000_000


class Job(msgspec.Struct, frozen=True):
    """A command in the mailbox, and the future of the caller who waits for it.

    A caller who has gone, so that the future is cancelled, changes nothing for the command.
    """

    decide: Callable[[AnyAggregate], Decision]
    command_id: str
    expected: int | None
    metadata: Metadata
    remember: Remember | None
    done: asyncio.Future[Receipt]
    deadline: Deadline | None = None


class Step(msgspec.Struct, frozen=True):
    """One command of a plan: the append that it leads to and the state after it.

    ``append`` is None when it decided nothing, or was refused for ``error``; ``size`` is in bytes.
    """

    job: Job
    state: AnyAggregate
    version: int
    append: Append | None = None
    error: Exception | None = None
    size: int = 0


class Plan(msgspec.Struct, frozen=True):
    """The steps of a row, and the appends of those that have one, both in order.

    ``events`` is how many all of them have, ``size`` is in bytes.
    """

    steps: list[Step]
    appends: list[Append]
    events: int = 0
    size: int = 0


class Planner:
    """Decides commands of one aggregate without storing anything."""

    __slots__ = ("_events", "_kind", "_stream")

    def __init__(self, stream: StreamId, kind: AggregateType, events: EventRegistry) -> None:
        self._stream = stream
        self._kind = kind
        self._events = events

    def plan(
        self,
        jobs: Sequence[Job],
        state: AnyAggregate,
        version: int,
        after_us: int | None = None,
    ) -> Plan:
        """Decide each command on what the one before it has decided.

        A command that fails, for whatever reason, changes nothing for those behind it. The plan
        ends early, with at least one step, when its events become many or large.

        Args:
            after_us: the moment of the event at ``version``, if it is known; see ``Append``.
        """
        steps: list[Step] = []
        appends: list[Append] = []
        events = size = 0
        for job in jobs:
            if events >= MAX_EVENTS_PER_ROW or size >= MAX_BYTES_PER_ROW:
                break
            try:
                step = self._step(job, state, version, after_us if not appends else None)
            except (StopIteration, asyncio.CancelledError) as error:
                # Neither may travel through a future: both would mean something else there.
                wrapped = RuntimeError(f"a command raised {type(error).__name__}")
                wrapped.__cause__ = error
                step = Step(job, state, version, error=wrapped)
            except Exception as error:  # a domain may raise anything; it is the caller's
                step = Step(job, state, version, error=error)
            state, version = step.state, step.version
            steps.append(step)
            if step.append is not None:
                appends.append(step.append)
                events += len(step.append.events)
                size += step.size
        return Plan(steps, appends, events, size)

    def _step(self, job: Job, state: AnyAggregate, version: int, after_us: int | None) -> Step:
        if job.expected is not None and job.expected != version:
            raise Conflict(self._stream, job.expected, version)
        encoded: list[Encoded] = []
        for event in _as_events(job.decide(state)):
            one = self._encoded(event)
            encoded.append(one)
            # Folded as every later reader will fold it: from the bytes that will be stored.
            state = state.apply(one.event)
        if not encoded:
            return Step(job, state, version)
        metadata = encode_metadata(job.metadata)
        events = [NewEvent(one, metadata) for one in encoded]
        append = Append(self._stream, version, job.command_id, events, job.remember, after_us)
        size = check_append(append)
        return Step(job, state, version + len(encoded), append, size=size)

    def _encoded(self, event: Event) -> Encoded:
        if type(event) not in self._kind.events:
            raise InvalidEvent(
                f"a command of {self._kind.cls.__name__} returned {event!r}, "
                "which is none of the events in its class line"
            )
        return self._events.encode(event)


def _as_events(decision: Any) -> Sequence[Event]:
    if isinstance(decision, Event):
        return (decision,)
    if decision is None:
        return ()
    if isinstance(decision, (list, tuple)):
        return cast("Sequence[Event]", decision)  # each one is checked when it is encoded
    raise InvalidEvent(
        f"a command returned {decision!r}: return one event, a list or tuple of events, or None"
    )
