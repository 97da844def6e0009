"""What is known about an event beside the event: who, why, and what caused it."""

import re

import msgspec

from whence.store.errors import CorruptStore, InvalidEvent, shown


class Metadata(msgspec.Struct, frozen=True, omit_defaults=True):
    """Stored with each event, as JSON; empty fields cost nothing.

    ``correlation_id`` names the whole story (the request that began it), ``causation_id`` the one
    command or event that led directly to this event. ``trace`` is a ``traceparent`` as W3C Trace
    Context writes it. ``notes`` is for anything else worth keeping.
    """

    who: str = ""
    reason: str = ""
    correlation_id: str = ""
    causation_id: str = ""
    trace: str = ""
    notes: dict[str, str] = {}

    def or_else(self, other: "Metadata") -> "Metadata":
        """This metadata, with what ``other`` says where this says nothing; notes are put together.

        Neither is changed.
        """
        if self is NO_METADATA or other is NO_METADATA:
            return other if self is NO_METADATA else self
        return Metadata(
            self.who or other.who,
            self.reason or other.reason,
            self.correlation_id or other.correlation_id,
            self.causation_id or other.causation_id,
            self.trace or other.trace,
            other.notes | self.notes,
        )


NO_METADATA = Metadata()

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Metadata)

# Version ff is forbidden, and so are ids of nothing but zeros. Version 00 ends after the flags; a
# later one may go on behind a further dash.
_TRACEPARENT = re.compile(
    r"(?!ff)(?P<version>[0-9a-f]{2})-(?!0{32})(?P<trace_id>[0-9a-f]{32})"
    r"-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?P<more>-[\x21-\x7e]{1,200})?"
)


def trace_id(traceparent: str) -> str:
    """The trace id in a ``traceparent`` (32 hex digits), or "" if W3C Trace Context has no such."""
    found = _TRACEPARENT.fullmatch(traceparent)
    if found is None or (found["version"] == "00" and found["more"]):
        return ""
    return found["trace_id"]


def encode_metadata(metadata: Metadata) -> bytes:
    """The stored form. Raises InvalidEvent for text that is not Unicode, or no text at all."""
    if metadata is NO_METADATA:
        return b""
    try:
        data = _encoder.encode(metadata)
        _decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeError, TypeError) as error:
        raise InvalidEvent(
            f"the metadata of an event cannot be stored: {error}", field="metadata"
        ) from error
    return data


def decode_metadata(data: bytes) -> Metadata:
    """The inverse of ``encode_metadata``. Raises CorruptStore for what it has not written."""
    if not data:
        return NO_METADATA
    try:
        return _decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise CorruptStore(f"the metadata of an event is {shown(data)}: {error}") from error
