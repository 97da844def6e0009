"""Which class each stored event type decodes to, and the codec between them."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import msgspec

from whence.store.chains import Chains, Form
from whence.store.errors import (
    CorruptStore,
    InvalidDomain,
    InvalidEvent,
    UnknownEventType,
    UpcastFailed,
    shown,
)
from whence.store.events import Event
from whence.store.recorded import Recorded
from whence.store.upcasting import Upcaster

MAX_EVENT_BYTES = 1_000_000

# What msgspec raises for bytes or objects it cannot take, beside its own errors.
CODEC_ERRORS = (msgspec.MsgspecError, RecursionError, UnicodeError, TypeError, ValueError)


class Encoded(msgspec.Struct, frozen=True):
    """An event ready to be stored, and the same event as every later reader will see it."""

    type: str
    schema_version: int
    data: bytes
    event: Event


class FormOfToday(NamedTuple):
    """How an event is read that was stored in the schema version that its class has now.

    ``decode`` raises one of CODEC_ERRORS for data that do not fit the class.
    """

    cls: type[Event]
    version: int
    decode: Callable[[bytes], Event]


class _Schema(NamedTuple):
    name: str
    version: int
    decoder: msgspec.json.Decoder[Event]


# Of no event: versions start at 1.
_NO_SCHEMA = _Schema("", 0, msgspec.json.Decoder(Event))


class EventRegistry:
    """The event types of a domain, by the name under which they are stored.

    Args:
        types: the classes of today.
        upcasters: how the older forms of events become these.

    Raises:
        InvalidDomain: two classes have one name, or a schema version that may have been stored has
            no upcaster.
    """

    def __init__(self, types: Iterable[type[Event]], upcasters: Iterable[Upcaster] = ()) -> None:
        self.types: dict[str, type[Event]] = {}
        self._schemas: dict[str, _Schema] = {}  # by each name that events were stored under
        self._by_class: dict[type[Event], _Schema] = {}
        self._encoder = msgspec.json.Encoder()
        for cls in types:
            self._add(cls)
        for cls in self.types.values():
            self._add_aliases(cls)
        self._chains = Chains(self.types, upcasters)
        for name in self._chains.names - self.types.keys():
            if name in self._schemas:
                raise InvalidDomain(
                    f"an upcaster names {name}, an alias of {self._schemas[name].name}: name that"
                )

    def _add(self, cls: type[Event]) -> None:
        name = cls.__name__
        known = self.types.setdefault(name, cls)
        if known is not cls:
            raise InvalidDomain(
                f"two event classes are named {name} ({known.__module__} and {cls.__module__}): "
                "the name is stored as the event's type, so it must be unique in a domain"
            )
        try:
            msgspec.json.schema(cls)  # the decoder alone would let unknown classes pass
            decoder = msgspec.json.Decoder(cls)
        except TypeError as error:
            raise InvalidDomain(f"{name} cannot be stored as JSON: {error}") from error
        self._schemas[name] = self._by_class[cls] = _Schema(name, cls.__schema_version__, decoder)

    def _add_aliases(self, cls: type[Event]) -> None:
        own = self._schemas[cls.__name__]
        for alias in cls.__aliases__:
            other = self._schemas.setdefault(alias, own)
            if other is not own or alias == cls.__name__:
                raise InvalidDomain(
                    f"{cls.__name__} cannot have the alias {alias}, a name of {other.name}: which "
                    "of the two would a stored event be?"
                )

    def encode(self, event: Event) -> Encoded:
        """Encode an event and prove that it decodes to the same event again.

        Raises:
            InvalidEvent: the type is not registered, or the event would change in storage (NaN
                becomes null, a list in a tuple field becomes a tuple), or it is over 1 MB.
        """
        schema = self._by_class.get(type(event))
        if schema is None:
            raise InvalidEvent(
                f"{shown(event)} is not an event of this domain; it has: {', '.join(self.types)}"
            )
        name, version, decoder = schema
        try:
            data = self._encoder.encode(event)
            stored = decoder.decode(data)
        except CODEC_ERRORS as error:
            raise InvalidEvent(f"{name} cannot be stored: {error}") from error
        if stored != event:
            raise InvalidEvent(
                f"{name} would change in storage: {shown(event)} comes back as {shown(stored)}"
            )
        if len(data) > MAX_EVENT_BYTES:
            raise InvalidEvent(
                f"{name} is {len(data):,} bytes long; an event may have {MAX_EVENT_BYTES:,}"
            )
        return Encoded(name, version, data, stored)

    def decode_all(self, record: Recorded) -> tuple[Event, ...]:
        """What a record says today: one event, or as many as its upcasters make of it.

        Raises:
            UnknownEventType: its type or schema version has neither class nor upcaster here.
            UpcastFailed: an upcaster raised, or gave what it must not.
            CorruptStore: its data does not fit the class.
        """
        name, version, decoder = self._schemas.get(record.type, _NO_SCHEMA)
        if version != record.schema_version:
            return self._upcast(record)
        try:
            return (decoder.decode(record.data),)
        except CODEC_ERRORS as error:
            raise CorruptStore(f"{_place(record)} is no valid {name}: {error}") from error

    def class_of(self, stored: str) -> type[Event] | None:
        """The class that a stored name belongs to now, as its name or as an alias of it."""
        schema = self._schemas.get(stored)
        return None if schema is None else self.types[schema.name]

    def reads(self, stored: str, version: int) -> bool:
        """Whether events of this stored name and schema version can be read."""
        schema = self._schemas.get(stored)
        if schema is not None and schema.version == version:
            return True
        return Form(stored if schema is None else schema.name, version) in self._chains

    def forms_of_today(self) -> dict[str, FormOfToday]:
        """By each name under which such events are stored."""
        return {
            stored: FormOfToday(self.types[schema.name], schema.version, schema.decoder.decode)
            for stored, schema in self._schemas.items()
        }

    def passed_over(self, classes: Iterable[type[Event]]) -> frozenset[str]:
        """The stored types that are known here and never become one of these classes."""
        wanted = {cls.__name__ for cls in classes}
        known = {stored: schema.name for stored, schema in self._schemas.items()}
        known |= {name: name for name in self._chains.names}
        return frozenset(
            stored
            for stored, name in known.items()
            if name not in wanted and not self._chains.becomes(name) & wanted
        )

    def _upcast(self, record: Recorded) -> tuple[Event, ...]:
        schema = self._schemas.get(record.type)
        form = Form(record.type if schema is None else schema.name, record.schema_version)
        if form not in self._chains:
            raise self._unknown(record, schema)
        try:
            parts = self._chains.upcast(form, record.data)
        except UpcastFailed as error:
            raise UpcastFailed(error.form, error.why, where=_place(record)) from error
        return tuple([self._read(name, data, form, record) for name, data in parts])

    def _read(self, name: str, data: bytes, stored: Form, record: Recorded) -> Event:
        try:
            return self._schemas[name].decoder.decode(data)
        except CODEC_ERRORS as error:
            raise CorruptStore(
                f"{_place(record)}, brought up from {stored}, is no valid {name}: {error}"
            ) from error

    def _unknown(self, record: Recorded, schema: _Schema | None) -> UnknownEventType:
        known = (
            f"known types: {', '.join(self.types) or 'none'}"
            if schema is None
            else f"it knows schema version {schema.version}"
        )
        return UnknownEventType(record.type, record.schema_version, _place(record), known)


def _place(record: Recorded) -> str:
    return f"version {record.version} of {record.stream}"
