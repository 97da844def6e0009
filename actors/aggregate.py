"""What a team writes: the state of an aggregate, its commands, and how events change it."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Generic, Self, TypeVar, dataclass_transform

import msgspec

from whence.store.errors import InvalidDomain
from whence.store.events import Event, FrozenMeta
from whence.store.ids import kebab

E = TypeVar("E", bound=Event)

# What a command may decide: one event, several, or nothing.
Decision = Event | Sequence[Event] | None
CommandFunction = TypeVar("CommandFunction", bound=Callable[..., Decision])

COMMAND_MARK = "__whence_command__"


@dataclass_transform(frozen_default=True, field_specifiers=(msgspec.field,))
class AggregateMeta(FrozenMeta):
    """Takes names out of the class line: ``class Person(Aggregate[...], plural="people")``."""

    def __new__(
        mcls: type["AggregateMeta"],
        name: str,
        bases: tuple[type, ...],
        namespace: dict[str, Any],
        *,
        type_name: str = "",
        plural: str = "",
        state_version: int = 1,
        **config: Any,
    ) -> "AggregateMeta":
        namespace["__type_name__"] = type_name or kebab(name)
        namespace["__plural__"] = plural or f"{namespace['__type_name__']}s"
        namespace["__state_version__"] = state_version
        if state_version < 1:
            raise InvalidDomain(
                f"{name} cannot have state version {state_version}: they start at 1"
            )
        return super().__new__(mcls, name, bases, namespace, **config)  # type: ignore[return-value]


class Aggregate(msgspec.Struct, Generic[E], metaclass=AggregateMeta):
    """The base class of aggregates: a frozen state that events change and commands look at.

    Every field needs a default: an aggregate without events is ``cls()``. The type parameter names
    the events: ``class Order(Aggregate[OrderPlaced | OrderCancelled])``. ``type_name``
    (default: the class name in kebab-case) is part of stored keys and never changes; ``plural`` is
    for URLs.

    ``state_version`` (default 1) needs a new number whenever ``apply``, or what it calls, gives
    another state for the same events: snapshots of the old code are then ignored. A change of the
    fields is noticed without it.
    """

    __type_name__: ClassVar[str]
    __plural__: ClassVar[str]
    __state_version__: ClassVar[int]

    def apply(self, event: E) -> Self:
        """The state after ``event``. Pure: no I/O, no clock, no random; never refuses a fact."""
        raise NotImplementedError(f"{type(self).__name__} needs a method apply(self, event)")


def command(function: CommandFunction) -> CommandFunction:
    """Mark a method as a command: it looks at the state and returns the events that follow.

    Its parameters are its schema: they decode the HTTP body and fill the OpenAPI document. It is
    pure; to refuse, it raises ``Rejected`` with the reason.
    """
    setattr(function, COMMAND_MARK, True)
    return function
