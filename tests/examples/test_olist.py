"""4,998 real orders, imported into the embedded Valkey and asked over HTTP."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import httpx
import pytest

from examples.orders import domain
from examples.orders.history import olist
from tests.examples.olist import FILE, latest, moment, needs_file, rows, with_status
from whence import Runtime, open_store
from whence.actors.facts import ImportReport, import_history
from whence.projections.rebuild import rebuild
from whence.projections.status import wait_until_caught_up
from whence.projections.worker import Worker
from whence.store.embedded import EmbeddedServer
from whence.store.eventstore import EventStore
from whence.web.app import create_app

pytestmark = needs_file

NAMESPACE = "olist"


async def import_all(store: EventStore) -> ImportReport:
    return await import_history(store, domain.write_model, olist(FILE), source="olist")


@asynccontextmanager
async def working(store: EventStore) -> AsyncGenerator[None]:
    task = asyncio.create_task(Worker(store, domain.read_model).run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


@pytest.fixture(scope="module")
def imported(valkey: EmbeddedServer) -> str:
    """The URL of a store with all orders, whose views are up to date."""

    async def fill() -> None:
        async with open_store(valkey.url, namespace=NAMESPACE) as store:
            report = await import_all(store)
            assert (report.imported, report.conflicts) == (len(rows()), [])
            async with working(store):
                for projection in domain.read_model.projections.values():
                    await wait_until_caught_up(store, projection, timeout_s=60)

    asyncio.run(fill())
    return valkey.url


@pytest.fixture
async def store(imported: str) -> AsyncIterator[EventStore]:
    async with open_store(imported, namespace=NAMESPACE) as store:
        yield store


@pytest.fixture
async def client(store: EventStore) -> AsyncIterator[httpx.AsyncClient]:
    async with Runtime(store, domain.write_model) as runtime:
        app = httpx.ASGITransport(create_app(domain, store, runtime))
        async with httpx.AsyncClient(transport=app, base_url="http://whence") as client:
            yield client


async def state_before(client: httpx.AsyncClient, row: dict[str, str]) -> httpx.Response:
    """The order a second before the latest moment of its row."""
    at = latest(row) - timedelta(seconds=1)
    return await client.get(f"/orders/{row['order_id']}", params={"at": at.isoformat()})


async def test_every_cancelled_order_says_why(client: httpx.AsyncClient) -> None:
    cancelled = with_status("canceled")
    assert len(cancelled) == 25
    for row in cancelled:
        answer = await client.get(f"/orders/{row['order_id']}/why", params={"field": "status"})
        why: dict[str, Any] = answer.json()
        assert why["value"] == "cancelled"
        last = why["last"]
        assert (last["type"], last["new"]) == ("OrderCancelled", "cancelled")
        assert last["occurred_at"] == latest(row).isoformat().replace("+00:00", "Z")
        assert last["reason"] == "not recorded"
        assert last["notes"]["inferred"] == "occurred_at, reason, cancelled_by"


async def test_before_its_cancellation_an_order_was_not_cancelled(
    client: httpx.AsyncClient,
) -> None:
    for row in with_status("canceled"):
        answer = await state_before(client, row)
        if latest(row) == moment(row["order_purchase_timestamp"]):
            # The file knows no later moment, so the order began and ended at the same one.
            assert answer.status_code == 404
            continue
        shipped = row["order_delivered_carrier_date"] and row["order_delivered_customer_date"]
        assert answer.json()["state"]["status"] == ("shipped" if shipped else "pending")


async def test_a_delivered_order_can_be_seen_at_each_step(client: httpx.AsyncClient) -> None:
    # The first row of the file: 10/2/2017 10:56, 10/2/2017 11:07, 10/4/2017 19:55, 10/10/2017 21:25
    url = "/orders/e481f51cbdc54678b7cc49136f2d6af7"
    steps = {
        "2017-10-02T10:56:00Z": ("pending", False),
        "2017-10-02T11:07:00Z": ("pending", True),
        "2017-10-04T19:54:59Z": ("pending", True),
        "2017-10-04T19:55:00Z": ("shipped", True),
        "2017-10-10T21:25:00Z": ("delivered", True),
    }
    for at, expected in steps.items():
        state = (await client.get(url, params={"at": at})).json()["state"]
        assert (state["status"], state["approved"]) == expected, at


async def test_the_view_counts_as_many_of_each_status_as_the_file(
    client: httpx.AsyncClient,
) -> None:
    names = {"canceled": "cancelled", "shipped": "shipped", "delivered": "delivered"}
    expected = Counter(names.get(row["order_status"], "pending") for row in rows())
    for status, count in expected.items():
        answer = await client.get("/views/order-list", params={"status": status, "limit": "1"})
        assert answer.json()["total"] == count, status
    assert expected == {"delivered": 4856, "shipped": 61, "pending": 56, "cancelled": 25}


async def test_sales_per_day_counts_the_purchases_of_each_day(client: httpx.AsyncClient) -> None:
    days = Counter(row["order_purchase_timestamp"].split()[0] for row in rows())
    answer = await client.get("/views/sales-per-day/2017-11-24")  # black friday
    assert answer.json()["orders"] == days["11/24/2017"]


async def test_an_order_whose_hand_over_lies_before_its_purchase_begins_with_the_purchase(
    client: httpx.AsyncClient,
) -> None:
    answer = await client.get("/orders/dee6298ce7d1fb2645141ef9972157aa/events")
    events = answer.json()["events"]
    assert [event["type"] for event in events] == ["OrderPlaced", "OrderShipped", "OrderApproved"]
    assert events[1]["occurred_at"] == events[0]["occurred_at"] == "2018-04-30T14:06:00Z"
    assert "2018-04-30T12:59:00+00:00" in events[1]["metadata"]["notes"]["basis"]


async def test_a_second_import_changes_nothing(store: EventStore) -> None:
    partitions = range(store.keys.partitions)
    before = await store.feed_heads(partitions)
    report = await import_all(store)
    assert (report.imported, report.already_there) == (0, len(rows()))
    assert report.conflicts == []
    assert await store.feed_heads(partitions) == before


async def test_a_rebuilt_view_equals_the_live_one(
    store: EventStore, client: httpx.AsyncClient
) -> None:
    async def page() -> Any:
        return (await client.get("/views/order-list", params={"limit": "1000"})).json()

    before = await page()
    await rebuild(store, domain.read_model.projection("order-list"))
    assert await page() == before
