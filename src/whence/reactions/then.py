"""What a reaction asks for: commands and timers, recorded and done later."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Concatenate, NamedTuple, ParamSpec, TypeVar

from whence.actors.aggregate import Decision
from whence.actors.model import AggregateType, AnyAggregate, CommandType, WriteModel
from whence.reactions.arguments import encode_arguments
from whence.store.errors import shown
from whence.store.ids import check_id
from whence.store.recorded import Recorded, microseconds, moment

A = TypeVar("A", bound=AnyAggregate)
P = ParamSpec("P")

# Milliseconds since 1970: about the year 2255, as for events.
_LATEST_MS = 9_000_000_000_000
_MILLISECOND_US = 1_000


class Send(NamedTuple):
    """A command for one aggregate; its arguments are by name."""

    kind: AggregateType
    command: CommandType
    id: str
    arguments: Mapping[str, Any]

    def __str__(self) -> str:
        return f"{self.command.name} to {self.kind.name}/{self.id}"


class SetTimer(NamedTuple):
    """A command for later: ``due_ms`` is in milliseconds since 1970."""

    name: str
    due_ms: int
    send: Send


class CancelTimer(NamedTuple):
    name: str


Intent = Send | SetTimer | CancelTimer


class Then:
    """What follows from an event, as the handler of a reaction says it.

    Nothing is sent here. When the handler has returned, the commands go out in the order in which
    they were asked for, each once the one before it has its answer; timers are set and cancelled
    together with the reaction's place in the log.

    A timer belongs to the aggregate whose event it is, which may have one of each name: setting
    another one of that name replaces it.

    Attributes:
        key: the same whenever this event comes to this reaction again, and of no other event: an
            idempotency key for what is called outside.
        intents: what was asked for so far, in order.

    Each method raises what a call of the command would (TypeError), UnknownCommand if the domain
    has no such command, and InvalidId.
    """

    __slots__ = ("_model", "_record", "intents", "key")

    def __init__(self, model: WriteModel, record: Recorded, key: str) -> None:
        self._model = model
        self._record = record
        self.key = key
        self.intents: list[Intent] = []

    def send(
        self,
        command: Callable[Concatenate[A, P], Decision],
        id: str,  # noqa: A002  # as in Runtime.send
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> None:
        """Send a command: ``then.send(Order.approve, record.id)``."""
        kind, spec = self._model.of_function(command)
        arguments = spec.named(args, kwargs)
        self.intents.append(Send(kind, spec, check_id(id), arguments))

    def after(
        self,
        timer: str,
        delay: timedelta,
        command: Callable[Concatenate[A, P], Decision],
        id: str,  # noqa: A002
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> None:
        """Send a command once ``delay`` has passed since the event occurred.

        ``then.after("payment", timedelta(minutes=30), Order.cancel, record.id, reason="unpaid")``

        Raises:
            ValueError: the moment lies too far away.
            InvalidCommand: the arguments would not come back from storage as they are.
        """
        due_us = self._record.occurred_at_us + delay // timedelta(microseconds=1)
        self._set(timer, due_us, command, id, *args, **kwargs)

    def at(
        self,
        timer: str,
        at: datetime,
        command: Callable[Concatenate[A, P], Decision],
        id: str,  # noqa: A002
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> None:
        """Send a command at a moment (aware); one that has passed means at once.

        Raises:
            ValueError: the moment has no time zone, or lies too far away.
            InvalidCommand: as ``after``.
        """
        if at.tzinfo is None:
            raise ValueError(f"{at.isoformat()} has no time zone: which moment is it?")
        self._set(timer, microseconds(at), command, id, *args, **kwargs)

    def cancel_timer(self, timer: str) -> None:
        """Drop the timer of this name that this aggregate has; without one, nothing happens."""
        self.intents.append(CancelTimer(check_id(timer, field="timer")))

    def _set(
        self,
        timer: str,
        due_us: int,
        command: Callable[Concatenate[A, P], Decision],
        id: str,  # noqa: A002
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> None:
        kind, spec = self._model.of_function(command)
        arguments = spec.named(args, kwargs)
        encode_arguments(spec, arguments)
        # Never before its moment, so a part of a millisecond counts as a whole one.
        due_ms = -(-due_us // _MILLISECOND_US)
        if abs(due_ms) > _LATEST_MS:
            raise ValueError(f"the timer {shown(timer)} would be due before 1685 or after 2255")
        send = Send(kind, spec, check_id(id), arguments)
        self.intents.append(SetTimer(check_id(timer, field="timer"), due_ms, send))


def outline(intent: Intent) -> str:
    """One line for a person."""
    match intent:
        case Send(arguments=arguments):
            given = ", ".join(f"{name}={shown(value)}" for name, value in arguments.items())
            return f"{intent}{': ' if given else ''}{given}"
        case SetTimer(name, due_ms, send):
            due = moment(due_ms * _MILLISECOND_US).isoformat()
            return f"timer {name} at {due}: {outline(send)}"
        case CancelTimer(name):
            return f"cancel timer {name}"
