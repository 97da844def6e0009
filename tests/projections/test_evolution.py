"""Views of events that were stored by older releases."""

from typing import Any

import pytest
from msgspec.structs import replace

from tests.evolved import (
    PAST,
    Bought,
    Bought2,
    Noted,
    Ordered1,
    Paid,
    PaidAndSeated1,
    Printed1,
    Seated,
    TicketRow,
    Tickets,
    model,
    past,
    payments,
    plant,
    planted,
    read_model,
    ticket,
    tickets,
)
from tests.projections.domain import view_of, working
from whence.projections.batch import Batch
from whence.projections.parked import parked_sequences
from whence.projections.projection import Projection, on
from whence.projections.rebuild import rebuild
from whence.projections.status import status, wait_until_caught_up
from whence.projections.views import Views
from whence.store.events import Event
from whence.store.eventstore import EventStore
from whence.store.recorded import Recorded

WHOLE = TicketRow(300, 1, "4B", changes=3)


def records(*events: Event) -> list[Recorded]:
    """One record per event, at versions and positions from 1."""
    return [
        Recorded(
            ticket(), n, 0, n, new.encoded.type, new.encoded.schema_version, new.encoded.data,
            b"", "c", 0, n,
        )
        for n, new in enumerate(planted(*events), 1)
    ]  # fmt: skip


async def test_old_events_make_the_rows_that_events_of_today_would_have_made(
    store: EventStore,
) -> None:
    await plant(store, ticket("old"), PAST)
    await plant(store, ticket("new"), [Bought(300, "EUR"), Paid("ann"), Seated("4B")])
    async with working(store, read_model):
        await wait_until_caught_up(store, tickets)
        await wait_until_caught_up(store, payments)

    assert await view_of(store, tickets) == {"old": WHOLE, "new": WHOLE}
    assert await view_of(store, payments) == {
        "old": TicketRow(paid=1),
        "new": TicketRow(paid=1),
    }


async def test_positions_are_those_of_the_log(store: EventStore) -> None:
    await plant(store, ticket(), PAST)
    async with working(store, read_model):
        await wait_until_caught_up(store, tickets)

    found = (await status(store, tickets))[store.keys.partition(ticket())]
    assert (found.position, found.head, found.lag) == (3, 3, 0)


async def test_a_rebuild_equals_the_live_view(store: EventStore) -> None:
    await plant(store, ticket(), PAST)
    await plant(store, ticket("2"), [Bought2(cents=5), Printed1(pages=1)])
    async with working(store, read_model):
        await wait_until_caught_up(store, tickets)
    live = await view_of(store, tickets)

    report = await rebuild(store, tickets)

    assert report.events == 5
    assert await view_of(store, tickets) == live == {"1": WHOLE, "2": TicketRow(5, changes=1)}


def test_all_that_a_split_event_makes_is_one_change() -> None:
    change = Batch(tickets, records(PaidAndSeated1(who="ann", seat="4B"))).settle({"1": None})

    assert change is not None
    assert (change.events, change.position) == (1, 1)
    assert change.rows == {"1": b'{"cents":0,"paid":1,"seat":"4B","changes":2}'}


class Strict(Tickets):
    @on(Seated)
    def seated(self, event: Seated, record: Recorded, views: Views[TicketRow]) -> None:
        raise ArithmeticError(event.seat)


def test_when_a_part_of_a_split_cannot_be_applied_none_is() -> None:
    strict = Strict(model.events)
    batch = Batch(strict, records(Bought(1, "EUR"), PaidAndSeated1(who="ann", seat="4B")))
    change = batch.settle({"1": None})

    assert change is not None
    assert change.rows == {"1": b'{"cents":1,"paid":0,"seat":"","changes":1}'}
    assert (change.events, change.position) == (1, 1)
    assert "ArithmeticError: 4B" in str(batch.failure)


@pytest.mark.parametrize(
    ("projection", "event", "handled"),
    [
        (payments, Ordered1(euros=1), False),
        (payments, Printed1(pages=1), False),
        (payments, Noted(), False),
        (payments, PaidAndSeated1(who="ann", seat="4B"), True),
        (tickets, Ordered1(euros=1), True),
        (tickets, Bought2(cents=1), True),
        (tickets, Noted(), False),
    ],
)
def test_only_what_may_become_an_event_with_a_handler_is_read(
    projection: Projection[Any], event: Event, handled: bool
) -> None:
    (record,) = records(event)
    unreadable = replace(record, data=b"not JSON")

    assert bool(projection.handle(record)) == handled
    assert (Batch(projection, [unreadable]).failure is not None) == handled


async def test_a_type_that_is_unknown_here_parks_its_aggregate_and_no_other(
    store: EventStore,
) -> None:
    # A newer release may have given this name to an event that a handler waits for.
    await plant(store, ticket(), [Bought(1, "EUR"), past("Refunded")(), Paid("ann")])
    await plant(store, ticket("2"), [Bought(1, "EUR"), Paid("ann")])
    async with working(store, read_model):
        await wait_until_caught_up(store, payments)

    (parked,) = await parked_sequences(store, payments)
    assert (parked.stream, parked.note.version, parked.waiting) == (ticket(), 2, 2)
    assert parked.note.reason.startswith("UnknownEventType: version 2 of ticket/1 is a 'Refunded'")
    assert await view_of(store, payments) == {"2": TicketRow(paid=1)}


def test_a_newer_version_of_an_event_without_a_handler_is_passed_over() -> None:
    (newer,) = records(past("Noted", 2)())
    assert tickets.handle(newer) == ()


def test_a_newer_version_of_an_event_with_a_handler_is_not_guessed_at() -> None:
    (newer,) = records(past("Paid", 2, paid_by=str)(paid_by="ann"))
    assert "UnknownEventType" in str(Batch(payments, [newer]).failure)
