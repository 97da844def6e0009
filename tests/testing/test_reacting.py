"""Sentences about reactions: those that hold, and what the others say."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from examples.orders.domain import Approval, Item, Order, OrderApproved, OrderPlaced, domain
from whence import Recorded
from whence.reactions import Reaction, Then, reacts
from whence.testing.reacting import reacting

PLACED = OrderPlaced("ann", (Item("book", 1, 1500),))
FREE = OrderPlaced("ann", (Item("leaflet", 1, 0),))
HALF_AN_HOUR = timedelta(minutes=30)
LATE = "not approved within 30 minutes"


def test_an_order_has_half_an_hour() -> None:
    reacting(Approval, domain).to(PLACED, of="order/42").then(
        lambda then: then.after("approval", HALF_AN_HOUR, Order.cancel, "42", LATE, "whence")
    )


def test_counted_from_when_it_was_placed() -> None:
    moment = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
    reacting(Approval, domain).to(PLACED, of="order/42", occurred_at=moment).then(
        lambda then: then.at(
            "approval", moment + HALF_AN_HOUR, Order.cancel, "42", LATE, cancelled_by="whence"
        )
    )


def test_an_order_that_costs_nothing_is_approved_at_once() -> None:
    reacting(Approval, domain).to(FREE, of="order/42").then(
        lambda then: then.send(Order.approve, "42")
    )


def test_an_approval_ends_the_waiting() -> None:
    reacting(Approval, domain).to(OrderApproved(), of="order/42", version=2).then(
        lambda then: then.cancel_timer("approval")
    )


def test_what_is_not_as_expected_is_shown_side_by_side() -> None:
    with pytest.raises(AssertionError) as found:
        reacting(Approval, domain).to(PLACED, of="order/42").then(
            lambda then: then.send(Order.approve, "42")
        )
    text = str(found.value)
    assert "- approve to order/42" in text
    assert "+ timer approval at 2026-01-01T12:30:00+00:00: cancel to order/42: reason='not" in text
    with pytest.raises(AssertionError, match="- nothing"):
        reacting(Approval, domain).to(FREE, of="order/42").then_nothing()


def test_an_async_handler_needs_no_loop_unless_it_waits() -> None:
    class Mailer(Reaction):
        wait = False

        @reacts(OrderPlaced)
        async def placed(self, event: OrderPlaced, record: Recorded, then: Then) -> None:
            if self.wait:
                await asyncio.sleep(0)

    class Waiting(Mailer):
        wait = True

    reacting(Mailer, domain).to(PLACED, of="order/42").then_nothing()
    with pytest.raises(AssertionError, match="waits for something"):
        reacting(Waiting, domain).to(PLACED, of="order/42")
