"""The first session of the README on every kind of server: commands, a worker, views, and why."""

from collections.abc import AsyncIterator

import pytest

from examples.orders import domain
from tests.store.servers import EVERYWHERE
from tests.web.client import CANCEL, PLACE, Client, problem
from whence import Runtime
from whence.projections.rebuild import rebuild
from whence.store.eventstore import EventStore
from whence.testing.views import catch_up
from whence.web.app import create_app

pytestmark = EVERYWHERE


@pytest.fixture
async def client(store: EventStore) -> AsyncIterator[Client]:
    async with (
        Runtime(store, domain.write_model, snapshot_every=1) as runtime,
        Client.of(create_app(domain, store, runtime)) as client,
    ):
        yield client


async def test_orders_are_placed_cancelled_listed_and_explained(
    client: Client, store: EventStore
) -> None:
    await client.placed("1", "2", "3")
    await client.cancelled("4")
    problem(await client.command("/orders/4/ship", {"carrier": "DHL"}), 409, "rejected")
    await catch_up(store, domain.read_model)

    assert (await client.document("/views/order-list"))["total"] == 4
    assert (await client.document("/views/order-list?status=cancelled"))["total"] == 1
    (day,) = (await client.document("/views/sales-per-day"))["rows"]
    assert (day["orders"], day["total"]) == (4, 3_600)
    why = await client.document("/orders/4/why?field=status")
    assert (why["value"], why["last"]["reason"]) == ("cancelled", CANCEL["reason"])
    assert (await client.document("/orders/4?version=1"))["state"]["status"] == "pending"
    assert (await client.get("/readyz")).status_code == 200


async def test_a_rebuilt_view_equals_the_live_one(client: Client, store: EventStore) -> None:
    await client.placed("1", "2")
    await client.cancelled("3")
    await catch_up(store, domain.read_model)
    before = await client.document("/views/order-list")

    await rebuild(store, domain.read_model.projection("order-list"))
    await catch_up(store, domain.read_model)

    assert await client.document("/views/order-list") == before


async def test_a_command_that_is_sent_again_gets_the_same_answer(
    client: Client, store: EventStore
) -> None:
    key = {"Idempotency-Key": "k-1"}
    first = await client.post("/orders/1/place", json=PLACE, headers=key)

    again = await client.post("/orders/1/place", json=PLACE, headers=key)

    assert again.json() == first.json()
    assert (await client.document("/orders/1"))["version"] == 1
