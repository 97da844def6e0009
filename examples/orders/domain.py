"""Orders: placed, approved, shipped and delivered, or cancelled while they are pending."""

from datetime import timedelta
from typing import Annotated, Literal, Self

from msgspec import Meta, Struct

from whence import (
    Aggregate,
    Domain,
    Event,
    Projection,
    Recorded,
    Rejected,
    Views,
    command,
    on,
    replace,
)
from whence.reactions import Reaction, Then, reacts

Status = Literal["new", "pending", "shipped", "delivered", "cancelled"]
Text = Annotated[str, Meta(min_length=1, max_length=500)]


class Item(Struct, frozen=True):
    sku: Text
    quantity: Annotated[int, Meta(ge=1, le=100_000)]
    price: Annotated[int, Meta(ge=0, le=100_000_000)]  # of one piece, in cents


Items = Annotated[tuple[Item, ...], Meta(max_length=1_000)]


class OrderPlaced(Event):
    user_id: str
    items: tuple[Item, ...]


class OrderApproved(Event):
    pass


class OrderShipped(Event):
    carrier: str


class OrderDelivered(Event):
    pass


class OrderCancelled(Event):
    reason: str
    cancelled_by: str


OrderEvent = OrderPlaced | OrderApproved | OrderShipped | OrderDelivered | OrderCancelled


class Order(Aggregate[OrderEvent]):
    user_id: str = ""
    items: tuple[Item, ...] = ()
    status: Status = "new"
    approved: bool = False
    carrier: str = ""
    reason: str = ""

    @command
    def place(self, user_id: Text, items: Items) -> OrderPlaced:
        if self.status != "new":
            raise Rejected("this order has already been placed")
        if not items:
            raise Rejected("an order needs at least one item")
        return OrderPlaced(user_id, items)

    @command
    def approve(self) -> OrderApproved:
        if self.approved:
            raise Rejected("this order has already been approved")
        if self.status != "pending":
            raise Rejected(f"a {self.status} order cannot be approved")
        return OrderApproved()

    @command
    def ship(self, carrier: Text) -> OrderShipped:
        if self.status != "pending":
            raise Rejected(f"a {self.status} order cannot be shipped")
        return OrderShipped(carrier)

    @command
    def deliver(self) -> OrderDelivered:
        if self.status != "shipped":
            raise Rejected(f"a {self.status} order cannot be delivered")
        return OrderDelivered()

    @command
    def cancel(self, reason: Text, cancelled_by: Text) -> OrderCancelled:
        if self.status != "pending":
            raise Rejected(f"a {self.status} order cannot be cancelled")
        return OrderCancelled(reason, cancelled_by)

    def apply(self, event: OrderEvent) -> Self:
        match event:
            case OrderPlaced(user_id, items):
                return replace(self, user_id=user_id, items=items, status="pending")
            case OrderApproved():
                return replace(self, approved=True)
            case OrderShipped(carrier):
                return replace(self, status="shipped", carrier=carrier)
            case OrderDelivered():
                return replace(self, status="delivered")
            case OrderCancelled(reason):
                return replace(self, status="cancelled", reason=reason)


class OrderRow(Struct, frozen=True):
    user_id: str
    status: Status
    total: int  # in cents
    placed_at: str


class OrderList(Projection[OrderRow]):
    """Each order with its status."""

    @on(OrderPlaced)
    def placed(self, event: OrderPlaced, record: Recorded, views: Views[OrderRow]) -> None:
        placed_at = record.occurred_at.isoformat()
        views.put(record.id, OrderRow(event.user_id, "pending", _total(event), placed_at))

    @on(OrderShipped)
    def shipped(self, event: OrderShipped, record: Recorded, views: Views[OrderRow]) -> None:
        views.update(record.id, lambda row: replace(row, status="shipped"))

    @on(OrderDelivered)
    def delivered(self, event: OrderDelivered, record: Recorded, views: Views[OrderRow]) -> None:
        views.update(record.id, lambda row: replace(row, status="delivered"))

    @on(OrderCancelled)
    def cancelled(self, event: OrderCancelled, record: Recorded, views: Views[OrderRow]) -> None:
        views.update(record.id, lambda row: replace(row, status="cancelled"))


class DaySales(Struct, frozen=True):
    orders: int = 0
    total: int = 0  # in cents


class SalesPerDay(Projection[DaySales]):
    """Orders and their value by the day on which they were placed (UTC)."""

    @on(OrderPlaced)
    def placed(self, event: OrderPlaced, record: Recorded, views: Views[DaySales]) -> None:
        total = _total(event)
        views.update(
            record.occurred_at.date().isoformat(),
            lambda day: DaySales(day.orders + 1, day.total + total),
            start=DaySales(),
        )

    def merge(self, left: DaySales, right: DaySales) -> DaySales:
        return DaySales(left.orders + right.orders, left.total + right.total)


class Approval(Reaction):
    """An order that costs nothing is approved at once; any other has 30 minutes."""

    @reacts(OrderPlaced)
    def placed(self, event: OrderPlaced, record: Recorded, then: Then) -> None:
        if _total(event) == 0:
            then.send(Order.approve, record.id)
        else:
            in_time = timedelta(minutes=30)
            reason = "not approved within 30 minutes"
            then.after("approval", in_time, Order.cancel, record.id, reason, cancelled_by="whence")

    @reacts(OrderApproved, OrderShipped, OrderCancelled)
    def decided(self, event: OrderEvent, record: Recorded, then: Then) -> None:
        then.cancel_timer("approval")


def _total(event: OrderPlaced) -> int:
    return sum(item.quantity * item.price for item in event.items)


domain = Domain(aggregates=[Order], projections=[OrderList, SalesPerDay], reactions=[Approval])
