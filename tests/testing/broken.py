"""Aggregates that break what the test kit proves, each in one way."""

import itertools
from enum import IntEnum
from typing import Annotated, Any, Self

from msgspec import Meta, field

from whence import Aggregate, Event, Rejected, command, replace


class Added(Event):
    item: str


class Measured(Event):
    """What is measured may be anything, and a tuple comes back as a list."""

    value: Any


class InPlace(Aggregate[Added]):
    """Its apply changes the list that the state before has as well."""

    items: list[str] = field(default_factory=list[str])

    @command
    def add(self, item: str) -> Added:
        return Added(item)

    def apply(self, event: Added) -> Self:
        self.items.append(event.item)
        return self


class Changing(Aggregate[Added]):
    """Its command changes the state, and its event is right."""

    items: list[str] = field(default_factory=list[str])

    @command
    def add(self, item: str) -> Added:
        self.items.append(item)
        return Added(item)

    def apply(self, event: Added) -> Self:
        return replace(self, items=[*self.items, event.item])


class ChangingTheEvent(Aggregate[Measured]):
    seen: int = 0

    @command
    def measure(self, value: list[int]) -> Measured:
        return Measured(value)

    def apply(self, event: Measured) -> Self:
        event.value.append(1)
        return replace(self, seen=self.seen + 1)


_ticks = itertools.count()


class Ticking(Aggregate[Added]):
    """Its apply asks a clock of a kind."""

    tick: int = 0

    @command
    def add(self, item: str) -> Added:
        return Added(item)

    def apply(self, event: Added) -> Self:
        return replace(self, tick=next(_ticks))


class Rolling(Aggregate[Added]):
    """Its command asks a clock of a kind."""

    last: str = ""

    @command
    def add(self) -> Added:
        return Added(str(next(_ticks)))

    @command
    def refuse(self) -> Added:
        raise Rejected(f"not at {next(_ticks)}")

    def apply(self, event: Added) -> Self:
        return replace(self, last=event.item)


class Forgetful(Aggregate[Added]):
    """Its apply does not return what it made."""

    last: str = ""

    @command
    def add(self, item: str) -> Added:
        return Added(item)

    def apply(self, event: Added) -> Self:
        replace(self, last=event.item)
        return None  # type: ignore[return-value]  # pyright: ignore[reportReturnType]


class Lossy(Aggregate[Measured]):
    """Its event and its state may hold what JSON tells otherwise."""

    value: Any = None

    @command
    def measure(self, low: int, high: int) -> Measured:
        return Measured((low, high))

    @command
    def note(self, value: int) -> Measured:
        return Measured(value)

    def apply(self, event: Measured) -> Self:
        return replace(self, value=(event.value, event.value))


class Level(IntEnum):
    LOW = 1
    HIGH = 2


class Graded(Aggregate[Added]):
    """Its snapshot comes back equal, for a Level equals its number, and leads to another state."""

    level: int = 0
    was_high: bool = False

    @command
    def add(self, item: str) -> Added:
        return Added(item)

    def apply(self, event: Added) -> Self:
        return replace(self, level=Level.HIGH, was_high=self.level is Level.HIGH)


rate = 1


class Priced(Aggregate[Added]):
    """Its apply looks at what is not in the event, and may change in between."""

    total: int = 0

    @command
    def add(self, item: str) -> Added:
        return Added(item)

    def apply(self, event: Added) -> Self:
        return replace(self, total=self.total + rate)


class Withdrawn(Event):
    amount: int


class Purse(Aggregate[Added | Withdrawn]):
    """A planted bug: with three coins or more, any sum can be taken."""

    coins: int = 0

    @command
    def add(self) -> Added:
        return Added("coin")

    @command
    def withdraw(self, amount: Annotated[int, Meta(ge=1, le=9)]) -> Withdrawn:
        if self.coins < amount and self.coins < 3:
            raise Rejected("there is not so much in this purse")
        return Withdrawn(amount)

    def apply(self, event: Added | Withdrawn) -> Self:
        match event:
            case Added():
                return replace(self, coins=self.coins + 1)
            case Withdrawn(amount):
                return replace(self, coins=self.coins - amount)
