"""The application as a whole: what it lists, and the domains it refuses."""

from typing import Self

import pytest

from examples.orders import domain
from tests.web.client import Client
from whence import Aggregate, Domain, Event, Runtime
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
