"""GET /views: the read models, kept up to date by a worker."""

import pytest
from msgspec import Struct

from examples.orders import domain
from tests.web.client import Client, problem
from whence import Aggregate, Domain, Event, Projection, Recorded, Runtime, Views, on
from whence.store.errors import InvalidDomain
from whence.store.eventstore import EventStore
from whence.testing.views import catch_up
from whence.web.app import create_app


async def test_the_list_of_views_names_their_fields(client: Client) -> None:
    body = await client.document("/views")
    assert body == {
        "views": [
            {"name": "order-list", "fields": ["user_id", "status", "total", "placed_at"]},
            {"name": "sales-per-day", "fields": ["orders", "total"]},
        ]
    }


async def test_the_rows_that_have_a_value(client: Client, store: EventStore) -> None:
    await client.placed("1", "2")
    await client.cancelled("3")
    await catch_up(store, domain.read_model)

    body = await client.document("/views/order-list?status=cancelled")
    assert (body["view"], body["total"], body["next"]) == ("order-list", 1, None)
    (row,) = body["rows"]
    placed_at = row.pop("placed_at")
    assert row == {"key": "3", "user_id": "ada", "status": "cancelled", "total": 900}
    assert placed_at
    assert (await client.document("/views/order-list?status=pending"))["total"] == 2
    assert (await client.document("/views/order-list?total=900&user_id=ada"))["total"] == 3
    assert (await client.document("/views/order-list?status=shipped"))["rows"] == []


async def test_page_by_page(client: Client, store: EventStore) -> None:
    await client.placed("a", "b", "c", "d", "e")
    await catch_up(store, domain.read_model)

    page = await client.document("/views/order-list?limit=2")
    pages = [page]
    while page["next"] is not None:
        page = await client.document(f"/views/order-list?limit=2&after={page['next']}")
        pages.append(page)
    assert [page["total"] for page in pages] == [5, 5, 5]
    assert [[row["key"] for row in page["rows"]] for page in pages] == [
        ["a", "b"],
        ["c", "d"],
        ["e"],
    ]


async def test_one_row(client: Client, store: EventStore) -> None:
    await client.placed("42")
    await catch_up(store, domain.read_model)

    row = await client.document("/views/order-list/42")
    assert (row["key"], row["status"]) == ("42", "pending")
    problem(await client.get("/views/order-list/43"), 404, "row-not-found")
    problem(await client.get("/views/order-list/%ff%00%2F"), 404, "row-not-found")


async def test_a_view_over_several_aggregates(client: Client, store: EventStore) -> None:
    await client.placed("1", "2", "3")
    await catch_up(store, domain.read_model)

    (row,) = (await client.document("/views/sales-per-day"))["rows"]
    assert (row["orders"], row["total"]) == (3, 2_700)


@pytest.mark.parametrize(
    ("path", "status", "name", "field"),
    [
        ("/views/nothing", 404, "unknown-view", ""),
        ("/views/nothing/42", 404, "unknown-view", ""),
        ("/views/order-list/42/43", 404, "not-found", ""),
        ("/views/order-list?colour=red", 422, "invalid-input", "colour"),
        ("/views/order-list?status=a&status=b", 422, "invalid-input", "status"),
        ("/views/order-list?limit=0", 422, "invalid-input", "limit"),
        ("/views/order-list?limit=1001", 422, "invalid-input", "limit"),
        ("/views/order-list/42?limit=1", 422, "invalid-input", "limit"),
        ("/views?limit=1", 422, "invalid-input", "limit"),
    ],
)
async def test_what_is_not_acceptable(
    client: Client, path: str, status: int, name: str, field: str
) -> None:
    problem(await client.get(path), status, name, field)


class Opened(Event):
    pass


class Account(Aggregate[Opened]):
    pass


class Row(Struct, frozen=True):
    key: str
    limit: int


class Accounts(Projection[Row]):
    @on(Opened)
    def opened(self, event: Opened, record: Recorded, views: Views[Row]) -> None:
        views.put(record.id, Row(record.id, 0))


async def test_a_row_cannot_have_a_field_that_the_address_uses(store: EventStore) -> None:
    clash = Domain(aggregates=[Account], projections=[Accounts])
    with pytest.raises(InvalidDomain, match="cannot have a field named key or limit"):
        create_app(clash, store, Runtime(store, clash.write_model))
