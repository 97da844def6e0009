"""The views of the order example that are filled against the clock, each under a name of its own.

A view with a new name is empty: so each round begins at the first event, and forgets nothing.
"""

from collections.abc import Callable, Sequence
from hashlib import pbkdf2_hmac
from typing import Any

from sqlalchemy import Column, Integer, MetaData, String, Table

from examples.orders.domain import (
    Order,
    OrderApproved,
    OrderCancelled,
    OrderDelivered,
    OrderList,
    OrderPlaced,
    OrderRow,
    OrderShipped,
)
from whence import Domain, Event, Projection, Recorded, Views, on
from whence.projections.readmodel import ReadModel
from whence.projections.views import Operation
from whence.sql import Sql, SqlProjection

NewView = Callable[[str], ReadModel]

# Rounds of a hash: some 100 µs.
THOUGHT = 150


def noop(name: str) -> ReadModel:
    """Takes every event and does nothing: what is left is reading, checking and decoding."""

    class Seen(Projection[OrderRow], name=name):
        @on(OrderPlaced, OrderApproved, OrderShipped, OrderDelivered, OrderCancelled)
        def seen(self, event: Event, record: Recorded, views: Views[OrderRow]) -> None: ...

    return _model(Seen)


def redis(name: str) -> ReadModel:
    """The list of orders as the example has it."""

    class Listed(OrderList, name=name): ...

    return _model(Listed)


def laborious(name: str) -> ReadModel:
    """The same list, by handlers that take the worker's time and not the server's."""

    class Weighed(OrderList, name=name):
        def handle(self, record: Recorded) -> Sequence[Operation]:
            pbkdf2_hmac("sha256", record.data, b"", THOUGHT)
            return super().handle(record)

    return _model(Weighed)


def sqlite(name: str) -> ReadModel:
    """The same as a table."""
    orders = Table(
        "orders",
        MetaData(),
        Column("id", String(128), primary_key=True),
        Column("user_id", String(500), nullable=False),
        Column("status", String(10), nullable=False),
        Column("total", Integer, nullable=False),
        Column("placed_at", String(40), nullable=False),
    )

    class Listed(SqlProjection, tables=[orders], name=name):
        @on(OrderPlaced)
        def placed(self, event: OrderPlaced, record: Recorded, sql: Sql) -> None:
            row = {
                "id": record.id,
                "user_id": event.user_id,
                "status": "pending",
                "total": sum(item.quantity * item.price for item in event.items),
                "placed_at": record.occurred_at.isoformat(),
            }
            sql.put(orders, row)

        @on(OrderShipped)
        def shipped(self, event: OrderShipped, record: Recorded, sql: Sql) -> None:
            sql.update(orders, {"id": record.id}, {"status": "shipped"})

        @on(OrderDelivered)
        def delivered(self, event: OrderDelivered, record: Recorded, sql: Sql) -> None:
            sql.update(orders, {"id": record.id}, {"status": "delivered"})

        @on(OrderCancelled)
        def cancelled(self, event: OrderCancelled, record: Recorded, sql: Sql) -> None:
            sql.update(orders, {"id": record.id}, {"status": "cancelled"})

    return _model(Listed)


def _model(projection: Any) -> ReadModel:
    return Domain(aggregates=[Order], projections=[projection]).read_model
