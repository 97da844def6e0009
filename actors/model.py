"""The write model: what a domain's aggregates can do, read from their classes once, at start."""

import inspect
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from inspect import signature
from typing import Any, NamedTuple

import msgspec

from whence.actors.aggregate import COMMAND_MARK, Aggregate, Decision
from whence.actors.snapshot import SnapshotCodec
from whence.store.errors import (
    InvalidCommand,
    InvalidDomain,
    InvalidId,
    UnknownAggregate,
    UnknownCommand,
    shown,
)
from whence.store.events import Event
from whence.store.ids import check_id
from whence.store.registry import EventRegistry
from whence.store.upcasting import Upcaster

AnyAggregate = Aggregate[Any]


class CommandType(NamedTuple):
    """A command: its name, its function, and a Struct made of its parameters."""

    name: str
    function: Callable[..., Decision]
    arguments: type[msgspec.Struct]
    decoder: msgspec.json.Decoder[msgspec.Struct]

    def decode(self, body: bytes) -> dict[str, Any]:
        """The arguments in a JSON body, as keyword arguments.

        Raises:
            InvalidCommand: the body is not JSON, or a field is missing, unknown or of a wrong type;
                ``field`` names it.
        """
        try:
            arguments = self.decoder.decode(body or b"{}")
        except RecursionError:
            raise InvalidCommand("the body is nested too deeply") from None
        except UnicodeDecodeError as error:
            raise InvalidCommand(f"the body is not UTF-8: {error.reason}") from None
        except msgspec.DecodeError as error:
            raise _as_invalid_command(str(error)) from None
        return msgspec.structs.asdict(arguments)

    def named(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments of an ordinary call, by name. Raises TypeError as the call would."""
        bound = signature(self.function).bind(None, *args, **kwargs)
        bound.apply_defaults()
        return {name: bound.arguments[name] for name in self.arguments.__struct_fields__}


class AggregateType(msgspec.Struct, frozen=True):
    """An aggregate class: its names, its commands by name, its events, its snapshots' codec."""

    name: str
    plural: str
    cls: type[AnyAggregate]
    commands: Mapping[str, CommandType]
    events: frozenset[type[Event]]
    snapshots: SnapshotCodec

    def command(self, name: str) -> CommandType:
        """Raises UnknownCommand."""
        try:
            return self.commands[name]
        except KeyError:
            raise UnknownCommand(self.name, name, sorted(self.commands)) from None


class WriteModel:
    """The aggregates of a domain and their events.

    Args:
        upcasters: how events that were stored in an older form become those of today.

    Raises:
        InvalidDomain: a class contradicts itself or another one; the sentence says how.
    """

    def __init__(
        self, aggregates: Iterable[type[AnyAggregate]], upcasters: Iterable[Upcaster] = ()
    ) -> None:
        self.aggregates: dict[str, AggregateType] = {}
        self._by_class: dict[type[AnyAggregate], AggregateType] = {}
        self._by_function: dict[Callable[..., Decision], tuple[AggregateType, CommandType]] = {}
        for cls in aggregates:
            self._add(_read_aggregate(cls))
        self.events = EventRegistry(
            sorted(
                {event for kind in self.aggregates.values() for event in kind.events},
                key=lambda event: event.__name__,
            ),
            upcasters,
        )

    def _add(self, kind: AggregateType) -> None:
        if kind.name in self.aggregates:
            raise InvalidDomain(f"two aggregates are named {kind.name!r}")
        self.aggregates[kind.name] = kind
        self._by_class[kind.cls] = kind
        for spec in kind.commands.values():
            if spec.function in self._by_function:
                raise InvalidDomain(
                    f"{kind.name} and {self._by_function[spec.function][0].name} share the command "
                    f"{spec.name!r}: which of the two would it change?"
                )
            self._by_function[spec.function] = (kind, spec)

    def aggregate(self, name: str) -> AggregateType:
        """Raises UnknownAggregate."""
        try:
            return self.aggregates[name]
        except KeyError:
            raise UnknownAggregate(name, sorted(self.aggregates)) from None

    def of_class(self, cls: type[AnyAggregate]) -> AggregateType:
        """Raises UnknownAggregate."""
        try:
            return self._by_class[cls]
        except KeyError:
            raise UnknownAggregate(cls.__name__, sorted(self.aggregates)) from None

    def of_function(self, function: Callable[..., Decision]) -> tuple[AggregateType, CommandType]:
        """The aggregate and command of a method such as ``Order.cancel``. Raises UnknownCommand."""
        try:
            return self._by_function[function]
        except KeyError:
            name = getattr(function, "__qualname__", repr(function))
            known = [f"{k.cls.__name__}.{c}" for k in self.aggregates.values() for c in k.commands]
            raise UnknownCommand("this domain", name, known) from None


def _read_aggregate(cls: type[AnyAggregate]) -> AggregateType:
    for name in (cls.__type_name__, cls.__plural__):
        try:
            check_id(name)
        except InvalidId:
            raise InvalidDomain(f"{shown(name)} cannot be the name of an aggregate") from None
    try:
        cls()
    except TypeError as error:
        raise InvalidDomain(
            f"{cls.__name__}() is the state before the first event, so each of its fields needs a "
            f"default: {error}"
        ) from None
    commands = {name: _read_command(cls, name, method) for name, method in _marked(cls)}
    return AggregateType(
        cls.__type_name__,
        cls.__plural__,
        cls,
        commands,
        events_of(cls),
        SnapshotCodec(cls, events_of(cls)),
    )


def _marked(cls: type[AnyAggregate]) -> list[tuple[str, Callable[..., Decision]]]:
    members = inspect.getmembers(cls, inspect.isfunction)
    return [(name, method) for name, method in members if hasattr(method, COMMAND_MARK)]


def events_of(cls: type[AnyAggregate]) -> frozenset[type[Event]]:
    """The events that the class line of an aggregate names. Raises InvalidDomain without any."""
    bases: list[Any] = [base for c in cls.__mro__ for base in c.__dict__.get("__orig_bases__", ())]
    for base in bases:
        if typing.get_origin(base) is Aggregate:
            (union,) = typing.get_args(base)
            members = typing.get_args(union) or (union,)
            if all(isinstance(m, type) and issubclass(m, Event) for m in members):
                return frozenset(members)
    raise InvalidDomain(
        f"{cls.__name__} does not name its events: class {cls.__name__}(Aggregate[A | B])"
    )


def _read_command(
    cls: type[AnyAggregate], name: str, function: Callable[..., Decision]
) -> CommandType:
    where = f"{cls.__name__}.{name}"
    if inspect.iscoroutinefunction(function):
        raise InvalidDomain(f"{where} is async: a command decides in memory, without any I/O")
    hints = typing.get_type_hints(function, include_extras=True)
    parameters = list(inspect.signature(function).parameters.values())[1:]
    arguments = msgspec.defstruct(
        f"{cls.__name__}{name.title().replace('_', '')}",
        [_read_parameter(where, parameter, hints) for parameter in parameters],
        kw_only=True,
        forbid_unknown_fields=True,
    )
    try:
        msgspec.json.schema(arguments)  # the decoder alone would let unknown classes pass
        decoder = msgspec.json.Decoder(arguments)
    except TypeError as error:
        raise InvalidDomain(f"{where} has a parameter that JSON cannot carry: {error}") from error
    return CommandType(name, function, arguments, decoder)


def _read_parameter(
    where: str, parameter: inspect.Parameter, hints: Mapping[str, Any]
) -> tuple[str, Any] | tuple[str, Any, Any]:
    if parameter.kind not in {parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY}:
        raise InvalidDomain(f"{where}: its parameter {parameter.name!r} must be one with a name")
    if parameter.name not in hints:
        raise InvalidDomain(f"{where} needs a type for its parameter {parameter.name!r}")
    if parameter.default is parameter.empty:
        return (parameter.name, hints[parameter.name])
    return (parameter.name, hints[parameter.name], parameter.default)


def _as_invalid_command(message: str) -> InvalidCommand:
    """Take the field out of msgspec's message: "Expected `int`, got `str` - at `$.items[0].n`"."""
    text, _, path = message.partition(" - at `$")
    field = path.strip("`").removeprefix(".")
    for missing in ("Object missing required field `", "Object contains unknown field `"):
        if text.startswith(missing):
            name = text.removeprefix(missing).rstrip("`")
            field = f"{field}.{name}" if field else name
    return InvalidCommand(text, field=field)
