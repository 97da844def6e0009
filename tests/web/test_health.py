"""/livez and /readyz, with a store that answers, that refuses, and that hangs."""

import asyncio
from collections.abc import Sequence

from examples.orders import domain
from tests.web.client import Client, problem
from whence import Runtime
from whence.store.address import Address
from whence.store.errors import ServerRefused
from whence.store.eventstore import EventStore
from whence.store.identity import Identity
from whence.store.keys import Keys
from whence.store.wire import Arg, Command, Reply
from whence.web.app import create_app


class Silent(EventStore):
    async def ask(self, *command: Arg) -> Reply:
        await asyncio.Event().wait()


class Loading(EventStore):
    async def ask_many(self, commands: Sequence[Command]) -> list[Reply]:
        raise ServerRefused("PING", "LOADING Redis is loading the dataset in memory")


def client_of(store: EventStore) -> Client:
    app = create_app(domain, store, Runtime(store, domain.write_model), ready_within=0.01)
    return Client.of(app)


async def test_a_process_with_its_store_is_alive_and_ready(
    client: Client, store: EventStore
) -> None:
    assert await client.document("/livez") == {"status": "alive"}
    ready = await client.document("/readyz")
    assert ready["status"] == "ready"
    assert ready["store"]["uuid"] == store.identity.uuid
    assert ready["store"]["milliseconds"] >= 0
    assert ready["parked"] == {"order-list": 0, "sales-per-day": 0, "approval": 0}
    await store.ask("HSET", store.keys.parked(3, "approval"), "order/42", "1 {}")
    assert (await client.document("/readyz"))["parked"]["approval"] == 1


async def test_without_its_server_a_process_is_alive_but_not_ready() -> None:
    # Port 1 of this machine: nothing listens there.
    address = Address.parse("redis://127.0.0.1:1")
    store = EventStore(address, Keys("t", 8), Identity("uuid", 8))
    async with client_of(store) as client:
        assert (await client.get("/livez")).status_code == 200
        response = await client.get("/readyz")
        problem(response, 503, "store-unavailable")
        assert response.headers["retry-after"] == "1"
        problem(await client.get("/orders/42"), 503, "store-unavailable")
    await store.close()


async def test_a_server_that_hangs_is_not_ready(store: EventStore) -> None:
    silent = Silent(store.address, store.keys, store.identity)
    async with client_of(silent) as client:
        problem(await client.get("/readyz"), 503, "store-unavailable")
        assert (await client.get("/livez")).status_code == 200
    await silent.close()


async def test_a_server_that_refuses_is_not_ready(store: EventStore) -> None:
    loading = Loading(store.address, store.keys, store.identity)
    async with client_of(loading) as client:
        problem(await client.get("/readyz"), 503, "store-refused")
    await loading.close()
