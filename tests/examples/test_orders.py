"""The rules of the example, as the README states them."""

import pytest
from hypothesis import settings

from examples.orders.domain import (
    Item,
    Order,
    OrderApproved,
    OrderCancelled,
    OrderDelivered,
    OrderEvent,
    OrderPlaced,
    OrderShipped,
)
from whence.testing import given
from whence.testing.machine import aggregate_machine

ITEMS = (Item("book", 2, 1_500),)
PLACED = OrderPlaced("ann", ITEMS)
APPROVED = OrderApproved()
SHIPPED = OrderShipped("DHL")
DELIVERED = OrderDelivered()
CANCELLED = OrderCancelled("late", "ann")

new = given(Order)
pending = given(Order, PLACED)
shipped = given(Order, PLACED, SHIPPED)


def test_an_order_is_placed_with_its_items() -> None:
    new.when(Order.place, "ann", ITEMS).then(PLACED).then_state(
        user_id="ann", items=ITEMS, status="pending"
    )


def test_an_order_needs_items() -> None:
    new.when(Order.place, "ann", ()).then_rejected("needs at least one item")


def test_a_pending_order_is_approved_once() -> None:
    pending.when(Order.approve).then(APPROVED).then_state(approved=True, status="pending")
    given(Order, PLACED, APPROVED).when(Order.approve).then_rejected("already been approved")


def test_a_pending_order_is_shipped() -> None:
    pending.when(Order.ship, carrier="DHL").then(SHIPPED).then_state(
        status="shipped", carrier="DHL"
    )


def test_a_shipped_order_is_delivered() -> None:
    shipped.when(Order.deliver).then(DELIVERED).then_state(status="delivered")


def test_a_pending_order_is_cancelled_with_its_reason() -> None:
    pending.when(Order.cancel, "late", "ann").then(CANCELLED).then_state(
        status="cancelled", reason="late"
    )


@pytest.mark.parametrize(
    ("past", "status", "allowed"),
    [
        ((), "new", {"place"}),
        ((PLACED,), "pending", {"approve", "ship", "cancel"}),
        ((PLACED, SHIPPED), "shipped", {"deliver"}),
        ((PLACED, SHIPPED, DELIVERED), "delivered", set[str]()),
        ((PLACED, CANCELLED), "cancelled", set[str]()),
    ],
    ids=["new", "pending", "shipped", "delivered", "cancelled"],
)
def test_each_status_allows_some_commands_and_rejects_the_others(
    past: tuple[OrderEvent, ...], status: str, allowed: set[str]
) -> None:
    order = given(Order, *past)
    attempts = {
        "place": order.when(Order.place, "ann", ITEMS),
        "approve": order.when(Order.approve),
        "ship": order.when(Order.ship, "DHL"),
        "deliver": order.when(Order.deliver),
        "cancel": order.when(Order.cancel, "late", "ann"),
    }
    for name, attempt in attempts.items():
        if name in allowed:
            attempt.then_state()
        else:
            attempt.then_rejected(f"a {status} order cannot be|already been placed")


def consistent(order: Order) -> None:
    assert bool(order.items) == (order.status != "new")
    assert bool(order.carrier) == (order.status in {"shipped", "delivered"})
    assert bool(order.reason) == (order.status == "cancelled")


TestAnyOrder = aggregate_machine(Order, always=consistent).TestCase
TestAnyOrder.settings = settings(max_examples=30)
