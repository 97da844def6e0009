"""GET /views: the read models, kept up to date by a worker."""

import anyio
import pytest
from msgspec import Struct

from examples.orders import domain
from examples.orders.domain import Order, OrderList, OrderPlaced, OrderRow
from tests.web.client import PLACE, Client, problem
from whence import Aggregate, Domain, Event, Projection, Recorded, Runtime, Views, on
from whence.projections.status import wait_until_caught_up
from whence.projections.worker import Worker
from whence.store.errors import InvalidDomain
from whence.store.eventstore import EventStore
from whence.testing.views import catch_up
from whence.web.app import create_app


async def test_the_list_of_views_names_their_fields(client: Client) -> None:
    body = await client.document("/views")
    assert body == {
        "views": [
            {
                "name": "order-list",
                "fields": ["user_id", "status", "total", "placed_at"],
                "indexes": [],
            },
            {"name": "sales-per-day", "fields": ["orders", "total"], "indexes": []},
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


class Ordered(OrderList, name="order-list", indexes=["status", "total"]):
    pass


async def test_in_the_order_of_an_index(store: EventStore) -> None:
    ordered = Domain(aggregates=[Order], projections=[Ordered])
    async with (
        Runtime(store, ordered.write_model) as runtime,
        Client.of(create_app(ordered, store, runtime)) as client,
    ):
        for number, price in enumerate([300, 100, 200]):
            body = {"user_id": "ada", "items": [{"sku": "tea", "quantity": 1, "price": price}]}
            assert (await client.command(f"/orders/{number}/place", body)).status_code == 201
        await catch_up(store, ordered.read_model)

        page = await client.document("/views/order-list?status=pending&order=-total&limit=2")
        assert ([row["total"] for row in page["rows"]], page["total"]) == ([300, 200], 3)
        after = page["next"]
        page = await client.document(f"/views/order-list?order=-total&limit=2&after={after}")
        assert ([row["total"] for row in page["rows"]], page["next"]) == ([100], None)
        refused = problem(
            await client.get("/views/order-list?order=user_id"), 422, "invalid-input", "order"
        )
        assert "they can be ordered by status, total" in refused["detail"]
        unplaced = await client.get("/views/order-list?order=total&after=ü")
        problem(unplaced, 422, "invalid-input", "after")
        document = await client.document("/openapi.json")
        (order,) = [
            one
            for one in document["paths"]["/views/order-list"]["get"]["parameters"]
            if one["name"] == "order"
        ]
        assert order["schema"]["enum"] == ["status", "-status", "total", "-total"]


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


class TestReadingYourWrites:
    async def test_a_reader_who_names_the_position_finds_what_was_written(
        self, client: Client, store: EventStore
    ) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(Worker(store, domain.read_model).run)
            for n in range(20):
                done = await client.command(f"/orders/{n}/place", PLACE)
                position = done.headers["whence-position"]
                assert position == f"{done.json()['partition']}:{done.json()['position']}"
                waiting = {"Whence-Wait-For": position}
                if n % 2:
                    found = await client.get(f"/views/order-list/{n}", headers=waiting)
                else:
                    found = await client.get(f"/views/order-list/{n}?wait_for={position}")
                assert found.status_code == 200, found.text
                page = await client.get("/views/order-list", headers=waiting)
                assert page.json()["total"] == n + 1
            tasks.cancel_scope.cancel()

    async def test_a_view_that_does_not_come_so_far_is_503_with_how_far_it_is(
        self, store: EventStore, runtime: Runtime
    ) -> None:
        app = create_app(domain, store, runtime, wait_within=0.02)
        async with Client.of(app) as client:
            done = await client.command("/orders/42/place", PLACE)
            at = done.headers["whence-position"]
            for path in ("/views/order-list", "/views/order-list/42"):
                response = await client.get(path, headers={"Whence-Wait-For": at})
                found = problem(response, 503, "view-behind")
                assert response.headers["retry-after"] == "1"
                assert "is at position 0 of partition" in found["detail"]
            problem(await client.get("/views/order-list/42"), 404, "row-not-found")

    async def test_what_is_no_position_in_the_header_is_refused_by_its_name(
        self, client: Client
    ) -> None:
        response = await client.get("/views/order-list", headers={"Whence-Wait-For": "soon"})
        found = problem(response, 422, "invalid-input", "Whence-Wait-For")
        assert "for example 17:8812, with a partition from 0 to 7, not 'soon'" in found["detail"]

    async def test_an_event_that_is_parked_is_told_and_not_passed_off_as_seen(
        self, client: Client, store: EventStore
    ) -> None:
        done = await client.command("/orders/42/place", PLACE)
        at = done.headers["whence-position"]
        fragile = Domain(aggregates=[Order], projections=[Fragile])
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(Worker(store, fragile.read_model).run)
            await wait_until_caught_up(store, fragile.read_model.projection("order-list"))
            tasks.cancel_scope.cancel()

        response = await client.get("/views/order-list", headers={"Whence-Wait-For": at})
        found = problem(response, 503, "event-parked")
        assert "retry-after" not in response.headers
        assert "version 1 of order/42 is parked" in found["detail"]
        assert (await client.document("/readyz"))["parked"] == {
            "order-list": 1,
            "sales-per-day": 0,
            "approval": 0,
        }


class Fragile(OrderList, name="order-list"):
    @on(OrderPlaced)
    def placed(self, event: OrderPlaced, record: Recorded, views: Views[OrderRow]) -> None:
        raise ArithmeticError("no")


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
        ("/views?wait_for=0:1", 422, "invalid-input", "wait_for"),
        ("/views/order-list?wait_for=", 422, "invalid-input", "wait_for"),
        ("/views/order-list?wait_for=1", 422, "invalid-input", "wait_for"),
        ("/views/order-list?wait_for=1:-1", 422, "invalid-input", "wait_for"),
        ("/views/order-list?wait_for=8:1", 422, "invalid-input", "wait_for"),
        ("/views/order-list?wait_for=9999:1", 422, "invalid-input", "wait_for"),
        ("/views/order-list?wait_for=1:1,", 422, "invalid-input", "wait_for"),
        ("/views/order-list?wait_for=1:9999999999999999", 422, "invalid-input", "wait_for"),
        ("/views/order-list/42?wait_for=1:%D9%A1", 422, "invalid-input", "wait_for"),
        ("/views/order-list?wait_for=" + "1:1," * 101 + "1:1", 422, "invalid-input", "wait_for"),
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
    wait_for: str = ""


class Accounts(Projection[Row]):
    @on(Opened)
    def opened(self, event: Opened, record: Recorded, views: Views[Row]) -> None:
        views.put(record.id, Row(record.id, 0))


async def test_a_row_cannot_have_a_field_that_the_address_uses(store: EventStore) -> None:
    clash = Domain(aggregates=[Account], projections=[Accounts])
    with pytest.raises(InvalidDomain, match="cannot have a field named key or limit or wait_for"):
        create_app(clash, store, Runtime(store, clash.write_model))
