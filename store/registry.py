"""Which class each stored event type decodes to, and the codec between them."""

from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from whence.store.errors import CorruptStore, InvalidDomain, InvalidEvent, UnknownEventType, shown
from whence.store.events import Event
from whence.store.recorded import Recorded

MAX_EVENT_BYTES = 1_000_000

# What msgspec raises for bytes or objects it cannot take, beside its own errors.
_CODEC_ERRORS = (msgspec.MsgspecError, RecursionError, UnicodeError, TypeError, ValueError)


class Encoded(NamedTuple):
    """An event ready to be stored, and the same event as every later reader will see it."""

    type: str
    schema_version: int
    data: bytes
    event: Event


class _Schema(NamedTuple):
    version: int
    decoder: msgspec.json.Decoder[Event]


class EventRegistry:
    """The event types of a domain, by the name under which they are stored.

    Raises:
        InvalidDomain: two classes have one name.
    """

    def __init__(self, types: Iterable[type[Event]]) -> None:
        self.types: dict[str, type[Event]] = {}
        self._schemas: dict[str, _Schema] = {}
        self._encoder = msgspec.json.Encoder()
        for cls in types:
            self._add(cls)

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
        self._schemas[name] = _Schema(cls.__schema_version__, decoder)

    def encode(self, event: Event) -> Encoded:
        """Encode an event and prove that it decodes to the same event again.

        Raises:
            InvalidEvent: the type is not registered, or the event would change in storage (NaN
                becomes null, a list in a tuple field becomes a tuple), or it is over 1 MB.
        """
        name = type(event).__name__
        schema = self._schemas.get(name)
        if schema is None or type(event) is not self.types[name]:
            raise InvalidEvent(
                f"{shown(event)} is not an event of this domain; it has: {', '.join(self.types)}"
            )
        try:
            data = self._encoder.encode(event)
            stored = schema.decoder.decode(data)
        except _CODEC_ERRORS as error:
            raise InvalidEvent(f"{name} cannot be stored: {error}") from error
        if stored != event:
            raise InvalidEvent(
                f"{name} would change in storage: {shown(event)} comes back as {shown(stored)}"
            )
        if len(data) > MAX_EVENT_BYTES:
            raise InvalidEvent(
                f"{name} is {len(data):,} bytes long; an event may have {MAX_EVENT_BYTES:,}"
            )
        return Encoded(name, schema.version, data, stored)

    def decode(self, record: Recorded) -> Event:
        """The event of a record.

        Raises:
            UnknownEventType: its type or schema version has no class here.
            CorruptStore: its data does not fit the class.
        """
        schema = self._schemas.get(record.type)
        if schema is None or schema.version != record.schema_version:
            known = (
                f"known types: {', '.join(self.types) or 'none'}"
                if schema is None
                else f"it knows schema version {schema.version}"
            )
            raise UnknownEventType(
                record.type,
                record.schema_version,
                f"version {record.version} of {record.stream}",
                known,
            )
        try:
            return schema.decoder.decode(record.data)
        except _CODEC_ERRORS as error:
            raise CorruptStore(
                f"version {record.version} of {record.stream} is no valid {record.type}: {error}"
            ) from error
