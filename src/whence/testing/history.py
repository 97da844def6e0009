"""The history of one aggregate without any store, folded as a store would and proven on the way."""

from collections import deque
from collections.abc import Callable
from copy import deepcopy
from typing import Any, Generic, NamedTuple, TypeVar, cast

from whence.actors.aggregate import Aggregate, Decision
from whence.actors.fold import fold
from whence.actors.model import WriteModel, events_of
from whence.actors.plan import Job, Planner, Step
from whence.actors.snapshot import Snapshot, Unfit
from whence.store.errors import InvalidEvent, Rejected, shown
from whence.store.events import Event
from whence.store.ids import StreamId
from whence.store.metadata import NO_METADATA
from whence.store.recorded import Recorded
from whence.store.registry import Encoded
from whence.store.upcasting import upcaster
from whence.testing.words import difference, outline

A = TypeVar("A", bound=Aggregate[Any])

# How many snapshots are gone on from; the oldest are given up first.
_SNAPSHOTS = 100


class Decided(NamedTuple):
    """What a command has decided: events, or why it was rejected."""

    events: tuple[Event, ...]
    rejected: Rejected | None = None


class History(Generic[A]):
    """The events of one aggregate; each one that comes is held to what every event promises.

    Attributes:
        state: after the last event.
        events: as every later reader sees them.
    """

    def __init__(self, cls: type[A]) -> None:
        model = model_of(cls)
        self.cls = cls
        self.events: list[Event] = []
        self._kind = model.of_class(cls)
        self._model = model
        self._stream = StreamId(self._kind.name, "test")
        self._states: list[A] = [cls()]
        self._records: list[Recorded] = []
        self._resumed: deque[tuple[int, A]] = deque(maxlen=_SNAPSHOTS)

    def copy(self) -> "History[A]":
        """The same history, to go on otherwise."""
        twin = History(self.cls)
        twin.events += self.events
        twin._states[:] = self._states
        twin._records += self._records
        twin._resumed.extend(self._resumed)
        return twin

    @property
    def state(self) -> A:
        return self._states[-1]

    @property
    def version(self) -> int:
        return len(self.events)

    def add(self, event: Event) -> None:
        """Let an event happen.

        Raises:
            AssertionError: it is none of this aggregate, or breaks one of these: it comes back from
                storage equal; ``apply`` returns a state, the same one each time, and changes
                neither state nor event in place; so does every snapshot, and it leads to the same
                states.
        """
        __tracebackhide__ = True
        encoded = self._encoded(event)
        state = self._applied(self.state, encoded.event)
        self.events.append(encoded.event)
        self._states.append(state)
        self._records.append(self._record(encoded))
        self._go_on(encoded.event)
        self._keep_snapshot()

    def check_command(self, command: Callable[..., Decision]) -> None:
        """Raises UnknownCommand for what is no command of this aggregate."""
        self._model.of_function(command)

    def decide(self, command: Callable[[A], Decision]) -> Decided:
        """Let a command decide on the state, and what it decides happen.

        Raises:
            AssertionError: it decides otherwise the second time, changes the state, or decides what
                ``add`` refuses.
            Others: what the command raises, except Rejected.
        """
        __tracebackhide__ = True
        first, second = self._step(command), self._step(command)
        if isinstance(first.error, InvalidEvent):
            raise AssertionError(str(first.error)) from first.error
        if first.error is not None and not isinstance(first.error, Rejected):
            raise first.error
        decided, again = _decided(first), _decided(second)
        if decided.events != again.events or str(decided.rejected) != str(again.rejected):
            raise AssertionError(
                "the same command on the same state decides otherwise the second time; it is to "
                f"use no clock, no random and no I/O:\n  first   {_told(decided)}\n"
                f"  second  {_told(again)}"
            )
        for event in decided.events:
            self.add(event)
        return decided

    def prove_replays(self) -> None:
        """Read all events again, and find the same state at every version, or AssertionError."""
        __tracebackhide__ = True
        state: A = self.cls()
        for version, record in enumerate(self._records, 1):
            state = cast("A", fold(self._model.events, state, [record]))
            if state != self._states[version]:
                raise AssertionError(
                    f"replaying gives another state at version {version} than the first time "
                    f"({shown(self.events[version - 1])}):\n" + _lines(self._states[version], state)
                )

    def _encoded(self, event: Event) -> Encoded:
        __tracebackhide__ = True
        if type(event) not in self._kind.events:
            known = ", ".join(sorted(cls.__name__ for cls in self._kind.events))
            raise AssertionError(
                f"{shown(event)} is none of the events of {self.cls.__name__}: {known}"
            )
        try:
            return self._model.events.encode(event)
        except InvalidEvent as error:
            raise AssertionError(str(error)) from error

    def _applied(self, state: A, event: Event) -> A:
        __tracebackhide__ = True
        state_before, event_before = deepcopy(state), deepcopy(event)
        after, again = state.apply(event), state.apply(event)
        what = f"apply of {shown(event)}"
        if type(after) is not self.cls:
            raise AssertionError(
                f"{what} returned {shown(after)}; it is to return the next state, as "
                "replace(self, ...) does, or self"
            )
        if state != state_before:
            raise AssertionError(
                f"{what} changed the state in place:\n{_lines(state_before, state)}"
            )
        if event != event_before:
            raise AssertionError(f"{what} changed the event:\n{_lines(event_before, event)}")
        if after != again:
            raise AssertionError(
                f"{what} gives another state the second time; it is to use no clock, no random and "
                f"no I/O:\n{_lines(after, again)}"
            )
        return after

    def _record(self, encoded: Encoded) -> Recorded:
        return Recorded(
            stream=self._stream,
            version=self.version,
            partition=0,
            position=self.version,
            type=encoded.type,
            schema_version=encoded.schema_version,
            data=encoded.data,
            metadata_json=b"",
            command_id="",
            occurred_at_us=0,
            checksum=0,
        )

    def _go_on(self, event: Event) -> None:
        """Apply the event to what was kept at earlier versions."""
        __tracebackhide__ = True
        for _ in range(len(self._resumed)):
            version, state = self._resumed.popleft()
            state = state.apply(event)
            if state != self.state:
                raise AssertionError(
                    f"the snapshot of version {version} leads to another state at version "
                    f"{self.version} ({shown(event)}):\n{_lines(self.state, state)}"
                )
            self._resumed.append((version, state))

    def _keep_snapshot(self) -> None:
        __tracebackhide__ = True
        codec = self._kind.snapshots
        if not codec.fingerprint:
            return  # only events have to be JSON; such a state has no snapshots at all
        kept = codec.encode(Snapshot(self._stream, self.version, 0, self.state))
        if isinstance(kept, Unfit):
            raise AssertionError(
                f"the state at version {self.version} cannot be kept as a snapshot: {kept.reason}\n"
                + "\n".join(f"  {line}" for line in outline(self.state))
            )
        reply = [value if isinstance(value, bytes) else str(value).encode() for value in kept[1::2]]
        found = codec.decode(self._stream, reply)
        assert found is not None, "the codec knows its own snapshot"
        self._resumed.append((self.version, cast("A", found.state)))

    def _step(self, command: Callable[[A], Decision]) -> Step:
        def decide(state: Aggregate[Any]) -> Decision:
            before = deepcopy(state)
            decision = command(cast("A", state))
            if state != before:
                raise AssertionError(
                    "a command changed the state in place; it is to return events only:\n"
                    + _lines(before, state)
                )
            return decision

        job = Job(
            decide=decide,
            command_id="test",
            expected=None,
            metadata=NO_METADATA,
            remember=None,
            done=cast("Any", None),  # nobody waits for it
        )
        planner = Planner(self._stream, self._kind, self._model.events)
        # On a copy: the planner folds as well, and what that does wrong is for ``add`` to say.
        (step,) = planner.plan([job], deepcopy(self.state), self.version).steps
        return step


_models: dict[type[Aggregate[Any]], WriteModel] = {}


def model_of(cls: type[Aggregate[Any]]) -> WriteModel:
    """A write model of this aggregate alone. It reads no older events, so any upcaster will do."""
    if cls not in _models:
        older = [
            upcaster(event, version=version)(dict)
            for event in events_of(cls)
            for version in range(1, event.__schema_version__)
        ]
        _models[cls] = WriteModel([cls], older)
    return _models[cls]


def _decided(step: Step) -> Decided:
    if isinstance(step.error, Rejected):
        return Decided((), step.error)
    events = () if step.append is None else step.append.events
    return Decided(tuple([new.encoded.event for new in events]))


def _told(decided: Decided) -> str:
    if decided.rejected is not None:
        return f"rejected: {decided.rejected}"
    return ", ".join(map(repr, decided.events)) or "nothing"


def _lines(expected: object, actual: object) -> str:
    return "\n".join(f"  {line}" for line in difference(outline(expected), outline(actual)))
