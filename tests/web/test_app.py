"""The application as a whole: what it lists, and the domains it refuses."""

from typing import Self

import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from examples.orders import domain
from tests.web.client import PLACE, Client, problem
from whence import Aggregate, Domain, Event, Runtime
from whence.actors.receipt import Receipt
from whence.actors.request import CommandRequest
from whence.store.errors import InvalidDomain
from whence.store.eventstore import EventStore
from whence.web.app import create_app


class Opened(Event):
    pass


class View(Aggregate[Opened]):
    """Its plural is /views."""


class Ox(Aggregate[Opened], plural="oxen"):
    pass


class Oxen(Aggregate[Opened], plural="oxen"):
    pass


class Handle:
    """Not JSON."""


class Door(Aggregate[Opened]):
    handle: Handle | None = None

    def apply(self, event: Opened) -> Self:
        return self


@pytest.mark.parametrize(
    ("aggregates", "sentence"),
    [
        ([View], "view cannot be at /views, which is taken"),
        ([Ox, Oxen], "oxen cannot be at /oxen, which is taken"),
        ([Door], "a type that OpenAPI cannot describe: .*Handle"),
    ],
)
async def test_a_domain_that_has_no_addresses(
    store: EventStore, aggregates: list[type[Aggregate[Opened]]], sentence: str
) -> None:
    refused = Domain(aggregates=aggregates)
    with pytest.raises(InvalidDomain, match=f"(?s){sentence}"):
        create_app(refused, store, Runtime(store, refused.write_model))


async def test_the_index_lists_what_there_is(client: Client) -> None:
    index = await client.document("/")

    order = index["aggregates"]["order"]
    assert order["state"] == "/orders/{id}"
    assert "/orders/{id}/cancel" in order["commands"]
    assert len(order["commands"]) == len(domain.write_model.aggregate("order").commands)
    for path in (*index["views"], index["openapi"], *index["health"]):
        await client.document(path)


async def test_the_application_leaves_store_and_runtime_to_its_caller(
    store: EventStore, runtime: Runtime
) -> None:
    app = create_app(domain, store, runtime)
    async with app.router.lifespan_context(app):
        pass
    async with Client.of(app) as client:
        await client.placed("42")


class Noting:
    """Middleware as a program may add it: it writes down what was asked for, and how it ended."""

    def __init__(self, app: ASGIApp, seen: list[str]) -> None:
        self._app = app
        self._seen = seen

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def noted(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._seen.append(f"{scope['method']} {scope['path']} {message['status']}")
            await send(message)

        await self._app(scope, receive, noted)


async def test_middleware_that_is_added_sees_every_request(
    store: EventStore, runtime: Runtime
) -> None:
    app, seen = create_app(domain, store, runtime), list[str]()
    app.add_middleware(Noting, seen=seen)
    async with Client.of(app) as client:
        await client.command("/orders/42/place", PLACE)
        await client.document("/orders/42")
        await client.document("/views")

    assert seen == ["POST /orders/42/place 201", "GET /orders/42 200", "GET /views 200"]


async def test_the_answer_to_a_defect_passes_middleware_on_the_short_way_and_on_the_long_one(
    store: EventStore, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(request: CommandRequest) -> Receipt:
        raise ArithmeticError(request.command.name)

    monkeypatch.setattr(runtime, "execute", broken)
    app, seen = create_app(domain, store, runtime), list[str]()
    app.add_middleware(Noting, seen=seen)
    async with Client.of(app) as client:
        for more in ({}, {"prefer": "return=minimal"}):
            response = await client.post("/orders/42/place", json=PLACE, headers=more)
            problem(response, 500, "internal-error")

    assert seen == ["POST /orders/42/place 500"] * 2
