"""What a team writes: a reaction says which commands follow from an event."""

import inspect
import typing
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, ClassVar, Literal, TypeVar, overload

from whence.actors.model import WriteModel
from whence.projections.handlers import Decorator
from whence.projections.projection import OnFailure
from whence.reactions.then import Intent, Then
from whence.store.errors import InvalidDomain, InvalidId, shown
from whence.store.events import Event
from whence.store.ids import check_id, derived_id, kebab
from whence.store.recorded import Recorded

R = TypeVar("R")
E = TypeVar("E", bound=Event)
Answer = TypeVar("Answer", None, Coroutine[Any, Any, None])
HandlerFunction = TypeVar(
    "HandlerFunction", bound=Callable[..., None] | Callable[..., Coroutine[Any, Any, None]]
)

# Where a reaction that has never run begins: behind all events that there are, or before them.
Start = Literal["now", "beginning"]

_REACTS = Decorator("reacts", "__whence_reacts__", ("self", "event", "record", "then"))


@overload
def reacts(
    event: type[E], /
) -> Callable[
    [Callable[[R, E, Recorded, Then], Answer]], Callable[[R, E, Recorded, Then], Answer]
]: ...
@overload
def reacts(
    event: type[Event], second: type[Event], /, *more: type[Event]
) -> Callable[[HandlerFunction], HandlerFunction]: ...
def reacts(*events: type[Event]) -> Any:
    """Mark a method as the handler of these events: ``handler(self, event, record, then)``.

    It looks at the event, and asks ``then`` for commands and timers. An async handler may also call
    the outside world, at least once for each event, with ``then.key`` as an idempotency key. What
    it raises parks the aggregate from that event on, or halts the partition: see ``Reaction``.
    """

    def mark(function: Callable[..., Any]) -> Callable[..., Any]:
        _REACTS.mark(function, events)
        return function

    return mark


class Reaction:
    """The base class of reactions, also known as policies and process managers.

    ``name`` is the class name in kebab-case, or what the class line says:
    ``class Deadlines(Reaction, name="deadlines")``. It is part of stored keys and of command ids:
    under another name it is another reaction, which begins anew.

    ``start`` says where a reaction begins that has never run: "now", the default, behind all
    events that there are; "beginning", at the first one. Events that were imported as facts from
    elsewhere are passed over, for what follows from them happened there as well, unless the class
    line says ``imported=True``.

    ``on_failure`` says what becomes of an event whose handler raises: "park", the default, sets it
    and the later events of its aggregate aside, in their order, and goes on with all others; "halt"
    holds up the whole partition. A subclass does as its base does.

    Args:
        model: the aggregates whose events come, and to which the commands go.

    Raises:
        InvalidDomain: the class contradicts itself or the domain; the sentence says how.
    """

    kind: ClassVar[Literal["projection", "reaction"]] = "reaction"
    name: ClassVar[str]
    on_failure: ClassVar[OnFailure] = "park"
    start: ClassVar[Start] = "now"
    imported: ClassVar[bool] = False

    def __init_subclass__(
        cls,
        *,
        name: str = "",
        on_failure: OnFailure | None = None,
        start: Start | None = None,
        imported: bool | None = None,
        **config: Any,
    ) -> None:
        super().__init_subclass__(**config)
        cls.name = name or kebab(cls.__name__)
        if on_failure is not None:
            cls.on_failure = on_failure
        if start is not None:
            cls.start = start
        if imported is not None:
            cls.imported = imported

    def __init__(self, model: WriteModel) -> None:
        self._check_line()
        self._model = model
        self._handlers: Mapping[type[Event], Callable[..., Awaitable[None] | None]] = (
            _REACTS.handlers(self, model.events, _check_function)
        )
        self._passed_over = model.events.passed_over(self._handlers)

    def concerns(self, record: Recorded) -> bool:
        """Whether a handler may have to see it; surely not, if it is False.

        A type that is unknown here might be one that a handler waits for under a new name.
        """
        return record.type not in self._passed_over and (self.imported or not record.imported)

    async def handle(self, record: Recorded, log: str) -> list[Intent]:
        """What the handlers ask for, in order.

        An event of an older schema may have become several, or none.

        Args:
            log: the uuid of the store, which makes ``then.key`` differ between stores.

        Raises whatever a handler raises, UnknownEventType and CorruptStore.
        """
        if not self.concerns(record):
            return []
        key = derived_id(f"{log}/{self.name}/{record.stream}@{record.version}")
        then = Then(self._model, record, key)
        for event in self._model.events.decode_all(record):
            handler = self._handlers.get(type(event))
            answer = None if handler is None else handler(event, record, then)
            if answer is not None:
                await answer
        return then.intents

    def _check_line(self) -> None:
        cls = type(self).__name__
        try:
            check_id(self.name)
        except InvalidId:
            raise InvalidDomain(f"{shown(self.name)} cannot be the name of a reaction") from None
        if self.on_failure not in typing.get_args(OnFailure):
            raise InvalidDomain(
                f'{cls} cannot do {shown(self.on_failure)} on a failure: choose "park" or "halt"'
            )
        if self.start not in typing.get_args(Start):
            raise InvalidDomain(
                f'{cls} cannot start at {shown(self.start)}: choose "now" or "beginning"'
            )


def _check_function(where: str, function: Callable[..., Any]) -> None:
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise InvalidDomain(f"{where} yields: a handler asks then for what should follow instead")
