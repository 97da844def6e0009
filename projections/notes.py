"""What is written down about events that a view goes on without: parked ones and skipped ones.

The server puts its time in front, in microseconds since 1970; the rest is JSON.
"""

import secrets
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal, NamedTuple, Protocol

import msgspec
from msgspec.structs import replace

from whence.store.errors import CorruptStore
from whence.store.ids import StreamId
from whence.store.recorded import moment

# A handler may raise anything, and a note is no place for a novel.
_LONGEST_REASON = 500


class Place(Protocol):
    """An event as far as its place in the log tells, readable or not."""

    @property
    def stream(self) -> StreamId: ...
    @property
    def version(self) -> int: ...
    @property
    def position(self) -> int: ...
    @property
    def type(self) -> str: ...


class Note(msgspec.Struct, frozen=True):
    """From ``version`` on the events of a stream are not in the view, for that one failed.

    ``attempts`` failed so far; 0 while the sequence is being applied again, piece by piece.
    ``position`` and ``type`` are those of the failed event: 0 and empty where damage hides them.
    """

    version: int
    position: int
    type: str
    reason: str
    attempts: int = 1

    @classmethod
    def of(cls, event: Place, error: Exception) -> "Note":
        reason = f"{type(error).__name__}: {error}"[:_LONGEST_REASON]
        # What a handler raises may hold half a surrogate pair, which is no text for JSON.
        reason = reason.encode(errors="backslashreplace").decode()
        return cls(event.version, event.position, event.type, reason)

    def failed_again(self, before: "Note") -> "Note":
        """This note; if the one ``before`` was of the same event, it counts the attempts on.

        A damaged event does not tell its position; who came to it by the feed knew it.
        """
        if self.version != before.version:
            return self
        position = self.position or before.position
        return replace(self, attempts=before.attempts + 1, position=position)


class Skip(msgspec.Struct, frozen=True):
    """A person's decision that a view does without an event: which one, by whom, and why.

    ``failure`` is what the event was parked for.
    """

    position: int
    type: str
    failure: str
    reason: str
    by: str


class Request(msgspec.Struct, frozen=True):
    """What a person wants done with a parked sequence; ``version`` is where it begins for them.

    ``id`` tells it from the same wish, expressed again.
    """

    action: Literal["retry", "skip"]
    version: int
    by: str
    reason: str = ""
    id: str = msgspec.field(default_factory=lambda: secrets.token_hex(4))


class Asked(NamedTuple):
    """A request as it was found; by its bytes it is known again when it has been done."""

    request: Request
    data: bytes


class Skipped(NamedTuple):
    """Names one event that is skipped."""

    stream: StreamId
    version: int

    def __str__(self) -> str:
        return f"{self.stream}@{self.version}"

    @classmethod
    def parse(cls, text: bytes) -> "Skipped":
        """The inverse of ``str``; for text that this program has written itself."""
        stream, _, version = text.decode().partition("@")
        return cls(StreamId.parse(stream), int(version))


_encode = msgspec.json.Encoder().encode
_note = msgspec.json.Decoder(Note)
_skip = msgspec.json.Decoder(Skip)
_request = msgspec.json.Decoder(Request)


def encode(document: Note | Skip | Request) -> bytes:
    return _encode(document)


def parse_notes(flat: Sequence[bytes]) -> dict[StreamId, tuple[datetime, Note]]:
    """The reply to HGETALL of the parked sequences, with the moment each was parked."""
    return {
        StreamId.parse(stream.decode()): _timed(data, _note)
        for stream, data in zip(flat[::2], flat[1::2], strict=True)
    }


def parse_skips(flat: Sequence[bytes]) -> dict[Skipped, tuple[datetime, Skip]]:
    """The reply to HGETALL of the skipped events, with the moment each was skipped."""
    return {
        Skipped.parse(event): _timed(data, _skip)
        for event, data in zip(flat[::2], flat[1::2], strict=True)
    }


def parse_requests(flat: Sequence[bytes]) -> dict[StreamId, Asked]:
    """The reply to HGETALL of what was asked for."""
    try:
        return {
            StreamId.parse(stream.decode()): Asked(_request.decode(data), data)
            for stream, data in zip(flat[::2], flat[1::2], strict=True)
        }
    except (msgspec.MsgspecError, ValueError) as error:
        raise CorruptStore(f"a request of a person cannot be read: {error}") from error


def _timed(data: bytes, decoder: "msgspec.json.Decoder[Any]") -> tuple[datetime, Any]:
    try:
        microseconds, document = data.split(b" ", 1)
        return moment(int(microseconds)), decoder.decode(document)
    except (msgspec.MsgspecError, ValueError) as error:
        raise CorruptStore(
            f"a note about parked events cannot be read: {data[:80]!r} ({error}); run `whence "
            "projections rebuild`"
        ) from error
