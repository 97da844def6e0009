"""A small domain for the tests of a store: accounts, and what can be paid into them."""

from datetime import UTC, datetime, timedelta
from typing import Self

from msgspec.structs import replace

from whence.actors.aggregate import Aggregate, command
from whence.actors.model import WriteModel
from whence.store.append import Append, NewEvent, Remember
from whence.store.events import Event
from whence.store.ids import CommandIds, StreamId
from whence.store.registry import EventRegistry
from whence.store.upcasting import JsonObject, upcaster


class Opened(Event):
    owner: str


class Deposited(Event):
    amount: int
    note: str | None = None


class Weighed(Event, version=3):
    kilograms: float
    tags: tuple[str, ...] = ()


@upcaster(Weighed, version=1)
def in_kilograms(old: JsonObject) -> JsonObject:
    return {"kilograms": old["grams"] / 1000}


@upcaster(Weighed, version=2)
def with_tags(old: JsonObject) -> JsonObject:
    return {**old, "tags": []}


class Account(Aggregate[Opened | Deposited]):
    balance: int = 0

    @command
    def deposit(self, amount: int, times: int = 1) -> list[Deposited]:
        return [Deposited(amount)] * times

    def apply(self, event: Opened | Deposited) -> Self:
        match event:
            case Opened():
                return self
            case Deposited(amount):
                return replace(self, balance=self.balance + amount)


model = WriteModel([Account])
registry = EventRegistry([Opened, Deposited, Weighed], [in_kilograms, with_tags])
NOON = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
_ids = CommandIds()


def account(id_: str = "42") -> StreamId:
    return StreamId("account", id_)


def append_of(
    stream: StreamId,
    expected: int,
    *events: Event,
    command: str = "",
    at: datetime | None = None,
    remember: Remember | None = None,
    after_us: int | None = None,
) -> Append:
    """An append; with ``at`` each event occurs a minute after the one before."""
    occurred: list[int | None] = [None] * len(events)
    if at is not None:
        epoch = datetime(1970, 1, 1, tzinfo=UTC)
        occurred = [
            (at + timedelta(minutes=i) - epoch) // timedelta(microseconds=1)
            for i in range(len(events))
        ]
    new = [
        NewEvent(registry.encode(event), b"", moment)
        for event, moment in zip(events, occurred, strict=True)
    ]
    return Append(stream, expected, command or _ids.next(), new, remember, after_us)
