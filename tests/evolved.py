"""A domain with a past: tickets, as they are today, and the events that older releases stored.

Release 1 said the price in euros and had one event for what are two today. What is Bought now was
called Ordered, and Printed is of no interest any more.
"""

from collections.abc import Sequence
from types import new_class
from typing import Any, Self

import msgspec

from whence import Aggregate, Event, Projection, Recorded, Views, command, on, replace
from whence.actors.model import WriteModel
from whence.projections.readmodel import ReadModel
from whence.store.append import Append, Committed, NewEvent
from whence.store.eventstore import EventStore
from whence.store.ids import StreamId
from whence.store.registry import EventRegistry
from whence.store.upcasting import JsonObject, Part, retired, splitter, upcaster


class Bought(Event, version=3, aliases=("Ordered",)):
    cents: int
    currency: str


class Paid(Event):
    paid_by: str


class Seated(Event):
    seat: str


class Noted(Event):
    """No projection here handles it."""


class Ticket(Aggregate[Bought | Paid | Seated | Noted]):
    cents: int = 0
    currency: str = ""
    paid_by: str = ""
    seat: str = ""

    @command
    def buy(self, cents: int) -> Bought:
        return Bought(cents, "EUR")

    @command
    def take(self, seat: str) -> Seated:
        return Seated(seat)

    @command
    def look(self) -> None:
        return None

    def apply(self, event: Bought | Paid | Seated | Noted) -> Self:
        match event:
            case Bought(cents, currency):
                return replace(self, cents=cents, currency=currency)
            case Paid(paid_by):
                return replace(self, paid_by=paid_by)
            case Seated(seat):
                return replace(self, seat=seat)
            case Noted():
                return self


class TicketRow(msgspec.Struct, frozen=True):
    cents: int = 0
    paid: int = 0
    seat: str = ""
    changes: int = 0


class Tickets(Projection[TicketRow]):
    """Counts its changes: a handler that is called once too often or too seldom shows."""

    @on(Bought)
    def bought(self, event: Bought, record: Recorded, views: Views[TicketRow]) -> None:
        self._change(record, views, cents=event.cents)

    @on(Paid)
    def paid(self, event: Paid, record: Recorded, views: Views[TicketRow]) -> None:
        views.update(record.id, lambda row: replace(row, paid=row.paid + 1), start=TicketRow())
        self._change(record, views)

    @on(Seated)
    def seated(self, event: Seated, record: Recorded, views: Views[TicketRow]) -> None:
        self._change(record, views, seat=event.seat)

    def _change(self, record: Recorded, views: Views[TicketRow], **fields: Any) -> None:
        views.update(
            record.id,
            lambda row: replace(row, changes=row.changes + 1, **fields),
            start=TicketRow(),
        )


class Payments(Projection[TicketRow]):
    """Handles one of the two events that were one: it need not know the others."""

    @on(Paid)
    def paid(self, event: Paid, record: Recorded, views: Views[TicketRow]) -> None:
        views.update(record.id, lambda row: replace(row, paid=row.paid + 1), start=TicketRow())


@upcaster(Bought, version=1)
def in_cents(old: JsonObject) -> JsonObject:
    return {"cents": old["euros"] * 100}


@upcaster(Bought, version=2)
def with_currency(old: JsonObject) -> JsonObject:
    return {**old, "currency": "EUR"}


@splitter("PaidAndSeated", version=1, into={Paid: 1, Seated: 1})
def paid_and_seated(old: JsonObject) -> list[Part]:
    return [(Paid, {"paid_by": old["who"]}), (Seated, {"seat": old["seat"]})]


UPCASTERS = [in_cents, with_currency, paid_and_seated, retired("Printed")]
model = WriteModel([Ticket], UPCASTERS)
read_model = ReadModel([Tickets, Payments], model.events)
tickets = read_model.projection("tickets")
payments = read_model.projection("payments")


def past(name: str, /, version: int = 1, **fields: type) -> type[Any]:
    """A class as an older release had it."""

    def fill(namespace: dict[str, Any]) -> None:
        namespace["__annotations__"] = fields

    return new_class(name, (Event,), {"version": version}, fill)


Ordered1 = past("Ordered", euros=int)
Bought2 = past("Bought", version=2, cents=int)
PaidAndSeated1 = past("PaidAndSeated", who=str, seat=str)
Printed1 = past("Printed", pages=int)


def ticket(id_: str = "1") -> StreamId:
    return StreamId("ticket", id_)


def planted(*events: Event) -> list[NewEvent]:
    """Events as the release encoded them whose classes these are."""
    # The chains of that release do not matter here: each class is taken as its first version.
    found: list[NewEvent] = []
    for event in events:
        cls = type(event)
        old = [upcaster(cls, version=v)(dict) for v in range(1, cls.__schema_version__)]
        found.append(NewEvent(EventRegistry([cls], old).encode(event)))
    return found


async def plant(
    store: EventStore, stream: StreamId, events: Sequence[Event], command: str = "c-old"
) -> None:
    """Begin a stream with events of the past."""
    outcome = await store.append(Append(stream, 0, command, planted(*events)))
    assert isinstance(outcome, Committed)


PAST: list[Event] = [
    Ordered1(euros=3),
    Printed1(pages=2),
    PaidAndSeated1(who="ann", seat="4B"),
]
