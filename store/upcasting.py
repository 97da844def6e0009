"""How events that were stored in an older form become the events of today.

Each of these is a value, and does nothing until it stands in ``Domain(..., upcasters=[...])``.
They work on the JSON object as it is stored, never on classes: those of the past are gone.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from whence.store.events import Event

JsonObject = dict[str, Any]
# A class of today, or the stored name of one that is gone.
EventName = type[Event] | str
Part = tuple[EventName, JsonObject]


@dataclass(frozen=True, slots=True)
class Upcaster:
    """One step away from an old form of an event. Made by the three functions below.

    Attributes:
        event: what it takes, in these schema ``versions``.
        into: what it may give, each in the schema version that it has as it leaves this step.
        function: makes the parts from the stored object, which it may change and keep.
    """

    event: EventName
    versions: range
    into: Mapping[EventName, int]
    function: Callable[[JsonObject], Iterable[Part]]


def upcaster(
    event: EventName, *, version: int
) -> Callable[[Callable[[JsonObject], JsonObject]], Upcaster]:
    """Mark a function that takes an event of this schema version to the next one.

    The function is pure: it gets the JSON object of the old version and returns that of the next.
    The upcasters of one event form a chain: when version 3 comes, those of 1 and 2 stay as they
    are, and the new one begins at 2.
    """

    def mark(function: Callable[[JsonObject], JsonObject]) -> Upcaster:
        def parts(old: JsonObject) -> Iterable[Part]:
            return [(event, function(old))]

        return Upcaster(event, range(version, version + 1), {event: version + 1}, parts)

    return mark


def splitter(
    event: EventName, *, version: int, into: Mapping[EventName, int]
) -> Callable[[Callable[[JsonObject], Iterable[Part]]], Upcaster]:
    """Mark a function that makes several events, in their order, of one that was stored.

    Args:
        event: what was stored, in this schema ``version``; a name if its class is gone.
        into: each event that the function may give and its schema version now, as a number: when
            that event gets another version later, its upcasters go on from here.

    The function is pure: it returns pairs of an event of ``into`` and its JSON object. All of them
    stand at the version and position of the stored one.
    """

    def mark(function: Callable[[JsonObject], Iterable[Part]]) -> Upcaster:
        return Upcaster(event, range(version, version + 1), into, function)

    return mark


def retired(event: EventName, *, through: int = 1) -> Upcaster:
    """Nobody is told of this event any more, in the schema versions 1 to ``through``.

    It stays in the log and keeps its version there.
    """
    return Upcaster(event, range(1, through + 1), {}, lambda _: ())


def name_of(event: EventName) -> str:
    """The name under which an event is stored."""
    return event if isinstance(event, str) else event.__name__
