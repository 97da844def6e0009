"""Events per second into a SQL view of the order example, against reading them only."""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import anyio
import uvloop
from sqlalchemy import Column, Integer, MetaData, String, Table

from bench.figure import Figure, compared, figure, server
from bench.orders import EVENTS_EACH, fill
from examples.orders.domain import (
    OrderCancelled,
    OrderDelivered,
    OrderPlaced,
    OrderShipped,
    domain,
)
from whence import Recorded, on, open_store
from whence.projections.readmodel import ReadModel
from whence.projections.status import wait_until_caught_up
from whence.projections.worker import Worker
from whence.sql import Sql, SqlProjection, open_database
from whence.store.eventstore import EventStore

ORDERS = 25_000
PAGE = 200

metadata = MetaData()
orders = Table(
    "orders",
    metadata,
    Column("id", String(128), primary_key=True),
    Column("user_id", String(500), index=True),
    Column("status", String(20)),
    Column("total", Integer),
)


class OrderTable(SqlProjection, tables=[orders]):
    @on(OrderPlaced)
    def placed(self, event: OrderPlaced, record: Recorded, sql: Sql) -> None:
        total = sum(item.quantity * item.price for item in event.items)
        row = {"id": record.id, "user_id": event.user_id, "status": "pending", "total": total}
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


model = ReadModel([OrderTable], domain.write_model.events)


def figures() -> Iterator[Figure]:
    with server("everysec") as running:
        yield uvloop.run(_measure(running.url))


async def _measure(url: str) -> Figure:
    async with open_store(url, namespace="sqlview", durability="relaxed") as store:
        await fill(store, ORDERS)
        pair = await compared(lambda: _project(store), lambda: _read(store), rounds=3)
    against = "reading the feed and its events, 200 at a time"
    return figure("projection, sqlite, orders", pair, "events/s", against)


async def _read(store: EventStore) -> float:
    start = time.perf_counter()
    count = 0
    for partition in range(store.keys.partitions):
        position = 0
        while pointers := await store.pointers(partition, after=position, limit=PAGE):
            count += len(await store.fetch(pointers))
            position = pointers[-1].position
    assert count == ORDERS * EVENTS_EACH
    return count / (time.perf_counter() - start)


async def _project(store: EventStore) -> float:
    """A worker from an empty database to the head of the log."""
    with tempfile.TemporaryDirectory(prefix="whence-bench-") as folder:
        async with open_database(f"sqlite:///{Path(folder) / 'views.db'}") as database:
            views = model.at(database)
            start = finished = time.perf_counter()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(Worker(store, views).run)
                await anyio.sleep(0.05)  # until Redis says again how far the view is
                await wait_until_caught_up(store, views.projector("order-table"), timeout_s=300)
                finished = time.perf_counter()
                tasks.cancel_scope.cancel()
    return ORDERS * EVENTS_EACH / (finished - start)
