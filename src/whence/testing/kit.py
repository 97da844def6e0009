"""Tests of aggregates that read as sentences:

    given(Order, placed).when(Order.ship, carrier="DHL").then(OrderShipped("DHL"))

No server and no event loop has a part in them.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

from whence.actors.aggregate import Aggregate, Decision
from whence.store.errors import UnknownField, shown
from whence.store.events import Event
from whence.testing.history import Decided, History
from whence.testing.words import difference, outline

A = TypeVar("A", bound=Aggregate[Any])
P = ParamSpec("P")


def given(aggregate: type[A], *events: Event) -> "Given[A]":
    """An aggregate to which these events have happened, each in its turn; none: it is new.

    Beside what the test says, every event and every state is proven here and in ``when``: each
    event and snapshot comes back from storage equal, ``apply`` gives the same state for the same
    events and changes nothing in place.

    Raises:
        AssertionError: one of these does not hold; the sentence says which, and for what event.
        InvalidDomain: the class contradicts itself.
    """
    __tracebackhide__ = True
    history = History(aggregate)
    for event in events:
        history.add(event)
    return Given(history)


class Given(Generic[A]):
    """An aggregate with a past; made by ``given``. Each ``when`` begins at that past."""

    def __init__(self, history: History[A]) -> None:
        self._history = history

    def when(
        self, command: Callable[Concatenate[A, P], Decision], *args: P.args, **kwargs: P.kwargs
    ) -> "Outcome[A]":
        """Let the aggregate decide a command: ``.when(Order.cancel, reason="late")``.

        Raises:
            AssertionError: the command decides otherwise the second time or changes the state, or
                what it decides does not hold what ``given`` proves.
            UnknownCommand: it is none of this aggregate.
            Others: what the command raises, except Rejected.
        """
        __tracebackhide__ = True
        history = self._history.copy()
        history.check_command(command)
        story = [*_given(history), f"when   {_call(command, args, kwargs)}"]
        try:
            decided = history.decide(lambda state: command(state, *args, **kwargs))
            history.prove_replays()
        except Exception as error:
            error.add_note("\n".join(story))
            raise
        return Outcome(history.state, decided, story)


class Outcome(Generic[A]):
    """What a command has led to; made by ``when``. Each of the methods raises AssertionError."""

    def __init__(self, state: A, decided: Decided, story: Sequence[str]) -> None:
        self._state = state
        self._decided = decided
        self._story = story

    def then(self, first: Event, *more: Event) -> "Outcome[A]":
        """It decided exactly these events, in this order."""
        __tracebackhide__ = True
        self._then_events((first, *more))
        return self

    def then_nothing(self) -> "Outcome[A]":
        """It was accepted, and decided no event."""
        __tracebackhide__ = True
        self._then_events(())
        return self

    def then_state(self, **fields: object) -> "Outcome[A]":
        """It was accepted, and these fields of the state now have these values.

        Raises:
            UnknownField: the state has no such field.
        """
        __tracebackhide__ = True
        self._accepted(_fields(fields))
        names = self._state.__struct_fields__
        for name in fields:
            if name not in names:
                raise UnknownField(type(self._state).__name__, name, names)
        actual = {name: getattr(self._state, name) for name in fields}
        if actual != fields:
            lines = difference(_fields(fields), _fields(actual))
            raise self._failure("the state is not as expected", lines)
        return self

    def then_rejected(self, match: str = "") -> None:
        """The domain said no, for a reason in which the pattern ``match`` is found."""
        __tracebackhide__ = True
        rejected = self._decided.rejected
        if rejected is None:
            lines = difference(["rejected"], _events(self._decided.events))
            raise self._failure("the command was not rejected", lines)
        if re.search(match, str(rejected)) is None:
            lines = difference([f"rejected: {match}"], [f"rejected: {rejected}"])
            raise self._failure("the command was rejected for another reason", lines)

    def _then_events(self, expected: tuple[Event, ...]) -> None:
        __tracebackhide__ = True
        self._accepted(_events(expected))
        if self._decided.events != expected:
            lines = difference(_events(expected), _events(self._decided.events))
            raise self._failure("the command decided other events", lines)

    def _accepted(self, expected: Sequence[str]) -> None:
        __tracebackhide__ = True
        if self._decided.rejected is not None:
            lines = difference(expected, [f"rejected: {self._decided.rejected}"])
            raise self._failure("the command was rejected", lines)

    def _failure(self, what: str, lines: Sequence[str]) -> AssertionError:
        then = [f"{'then' if number == 0 else '':7}{line}" for number, line in enumerate(lines)]
        legend = "       (- expected, + actual)"
        return AssertionError("\n".join([what, "", *self._story, *then, legend]))


def _given(history: History[Any]) -> list[str]:
    events = [shown(event, 100) for event in history.events] or ["no event"]
    first, *more = [f"given  {history.cls.__name__}", *events]
    return [first, *(f"       {line}" for line in more)]


def _call(function: Callable[..., Any], args: Sequence[object], kwargs: dict[str, Any]) -> str:
    named = [f"{name}={shown(value, 100)}" for name, value in kwargs.items()]
    name = getattr(function, "__qualname__", repr(function))
    return f"{name}({', '.join([*(shown(value, 100) for value in args), *named])})"


def _events(events: Sequence[Event]) -> list[str]:
    return [line for event in events for line in outline(event)] or ["no event"]


def _fields(fields: dict[str, Any]) -> list[str]:
    return [line for name, value in fields.items() for line in outline(value, name)]
