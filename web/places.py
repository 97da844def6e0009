"""How far a subscriber is: in the stream of one aggregate, or in the whole log."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Protocol

import msgspec

from whence.store.errors import InvalidInput, shown
from whence.store.eventstore import EventStore
from whence.store.ids import StreamId
from whence.store.reading import read_all
from whence.store.recorded import Recorded

_LARGEST = 10**15


class Place(Protocol):
    """A position that moves with the events that a subscriber gets; its text is their SSE id."""

    @property
    def stream(self) -> StreamId | None:
        """The one stream that is followed; None for all."""
        ...

    def stored(self) -> AsyncIterator[Recorded]:
        """What the log has after this place."""
        ...

    def advance(self, record: Recorded) -> bool:
        """Move to an event, and say whether its subscriber wants it and does not have it yet."""
        ...

    def __str__(self) -> str: ...


class InStream:
    """After a version of one aggregate."""

    def __init__(self, store: EventStore, stream: StreamId, version: int) -> None:
        self.stream = stream
        self._store = store
        self._version = version

    def stored(self) -> AsyncIterator[Recorded]:
        return self._store.read(self.stream, first=self._version + 1)

    def advance(self, record: Recorded) -> bool:
        if record.version <= self._version:
            return False
        self._version = record.version
        return True

    def __str__(self) -> str:
        return str(self._version)


class InLog:
    """After a position in each partition.

    Args:
        wanted: whether an event is for this subscriber.
    """

    stream = None

    def __init__(
        self, store: EventStore, positions: Sequence[int], wanted: Callable[[Recorded], bool]
    ) -> None:
        self._store = store
        self._positions = list(positions)
        self._wanted = wanted

    def stored(self) -> AsyncIterator[Recorded]:
        return read_all(self._store, after=dict(enumerate(self._positions)))

    def advance(self, record: Recorded) -> bool:
        if record.position <= self._positions[record.partition]:
            return False
        self._positions[record.partition] = record.position
        return self._wanted(record)

    def __str__(self) -> str:
        packed = msgspec.msgpack.encode(self._positions)
        return urlsafe_b64encode(packed).decode().rstrip("=")


def parse_positions(text: str, partitions: int, field: str) -> list[int]:
    """The inverse of ``str`` of an InLog.

    Raises:
        InvalidInput: this is not such a text, or that of a store with other partitions.
    """
    try:
        packed = urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
        positions = msgspec.msgpack.decode(packed, type=list[int])
    except (ValueError, msgspec.DecodeError):  # UnicodeEncodeError and binascii's are ValueErrors
        positions = []
    if len(positions) != partitions or not all(0 <= one < _LARGEST for one in positions):
        raise InvalidInput(
            f"{shown(text)} is no place in this log: give the id of the last event that came, or "
            '"start"',
            field=field,
        )
    return positions
