"""POST /orders/place: the server makes the id."""

import time
from uuid import UUID

from examples.orders import domain
from tests.web.client import CANCEL, PLACE, Client, problem, stored
from whence import Runtime
from whence.store.eventstore import EventStore
from whence.web.app import create_app


async def test_the_id_is_a_uuid_of_this_moment(client: Client) -> None:
    before = time.time_ns() // 1_000_000
    response = await client.command("/orders/place", PLACE)
    after = time.time_ns() // 1_000_000

    assert response.status_code == 201
    made = UUID(response.json()["id"])
    assert (made.version, made.variant) == (7, "specified in RFC 4122")
    assert before <= made.int >> 80 <= after
    assert response.headers["location"] == f"/orders/{made}"
    assert (await client.document(f"/orders/{made}"))["version"] == 1


async def test_each_request_makes_another(client: Client) -> None:
    ids = {(await client.command("/orders/place", PLACE)).json()["id"] for _ in range(20)}
    assert len(ids) == 20


async def test_with_a_key_the_same_request_finds_what_it_made(
    client: Client, store: EventStore
) -> None:
    headers = {"idempotency-key": "checkout-4711"}
    first = await client.post("/orders/place", json=PLACE, headers=headers)
    async with (
        Runtime(store, domain.write_model) as elsewhere,
        Client.of(create_app(domain, store, elsewhere)) as other,
    ):
        again = await other.post("/orders/place", json=PLACE, headers=headers)

    assert first.status_code == again.status_code == 201
    assert again.headers["idempotency-replayed"] == "true"
    assert again.json() == first.json()
    assert again.headers["location"] == first.headers["location"]
    assert UUID(first.json()["id"]).version == 8
    assert await stored(store) == 1


async def test_a_key_belongs_to_one_body(client: Client, store: EventStore) -> None:
    headers = {"idempotency-key": "checkout-4711"}
    await client.post("/orders/place", json=PLACE, headers=headers)
    other = await client.post("/orders/place", json={**PLACE, "user_id": "eve"}, headers=headers)

    problem(other, 422, "command-id-reused", "command id")
    assert await stored(store) == 1


async def test_a_command_that_the_domain_refuses_makes_nothing(
    client: Client, store: EventStore
) -> None:
    problem(await client.command("/orders/cancel", CANCEL), 409, "rejected")
    assert await stored(store) == 0


async def test_an_aggregate_may_have_the_name_of_a_command(client: Client) -> None:
    await client.placed("place")
    assert (await client.document("/orders/place"))["version"] == 1
    assert (await client.command("/orders/place/cancel", CANCEL)).status_code == 200
