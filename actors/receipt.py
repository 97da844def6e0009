"""What a caller gets back: of a command, and of a look at an aggregate."""

from collections.abc import Sequence
from typing import Generic, TypeVar

import msgspec

from whence.store.events import Event
from whence.store.ids import StreamId
from whence.store.recorded import Recorded
from whence.store.registry import EventRegistry

S = TypeVar("S")


class Receipt(msgspec.Struct, frozen=True):
    """What a command has stored.

    Attributes:
        version: of the stream after the command.
        partition, position: where its last event stands in the feed; 0 when it decided nothing.
        occurred_at_us: of its first event, in microseconds since 1970; 0 when it decided nothing.
        events: what it decided, in order.
        repeated: they had been stored before, under the same command id; this is the same answer.
        versions: of each of these events, in the stream.
    """

    stream: StreamId
    version: int
    partition: int
    position: int
    occurred_at_us: int
    events: tuple[Event, ...]
    versions: Sequence[int]
    repeated: bool = False

    @classmethod
    def repeating(cls, records: Sequence[Recorded], registry: EventRegistry) -> "Receipt":
        """The receipt of a command that stored these before, perhaps in another release."""
        first, last = records[0], records[-1]
        pairs = [(event, r.version) for r in records for event in registry.decode_all(r)]
        return cls(
            last.stream,
            last.version,
            last.partition,
            last.position,
            first.occurred_at_us,
            tuple([event for event, _ in pairs]),
            [version for _, version in pairs],
            repeated=True,
        )

    @property
    def created(self) -> bool:
        """Whether this command began the stream."""
        return 1 in self.versions


class Versioned(msgspec.Struct, Generic[S], frozen=True):
    """A state of an aggregate and the version at which it had it (0: before its first event).

    ``occurred_at_us`` is the moment of that version's event, in microseconds since 1970.
    """

    stream: StreamId
    state: S
    version: int
    occurred_at_us: int
