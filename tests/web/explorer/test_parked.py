"""Parked events in the Explorer: seen, tried again, skipped, and by whom."""

import socket
from collections.abc import AsyncIterator

import pytest
from msgspec import Struct
from playwright.async_api import expect
from starlette.applications import Starlette

from examples.orders.domain import Order, OrderPlaced
from tests.web.client import CANCEL, PLACE, Client
from tests.web.explorer.browser import keep_screenshot, needs_chromium, reading, violations
from tests.web.serving import serving
from whence import Domain, Projection, Recorded, Runtime, Views, on
from whence.projections.parked import parked_sequences, skipped_events
from whence.projections.query import get
from whence.store.eventstore import EventStore
from whence.testing.views import catch_up
from whence.web.access import Access
from whence.web.apikeys import ApiKeys, new_key
from whence.web.app import create_app

PAGE = "/explorer/projections"
FORM = {"type": "order", "id": "42"}


class Row(Struct, frozen=True):
    user_id: str


class Fragile(Projection[Row]):
    """Fails until somebody mends it."""

    mended = False

    @on(OrderPlaced)
    def placed(self, event: OrderPlaced, record: Recorded, views: Views[Row]) -> None:
        if not self.mended:
            raise ArithmeticError("cannot count <these>")
        views.put(record.id, Row(event.user_id))


class Parking:
    """A domain of which order 42 is parked."""

    def __init__(self, store: EventStore, runtime: Runtime, domain: Domain) -> None:
        self.store = store
        self.app: Starlette = create_app(domain, store, runtime)
        self.app_again: Starlette = create_app(domain, store, runtime)
        found = domain.read_model.projection("fragile")
        assert isinstance(found, Fragile)
        self.projection = found

    async def is_parked(self) -> bool:
        return bool(await parked_sequences(self.store, self.projection))


@pytest.fixture
async def parking(store: EventStore) -> AsyncIterator[Parking]:
    domain = Domain(aggregates=[Order], projections=[Fragile])
    async with Runtime(store, domain.write_model) as runtime:
        parking = Parking(store, runtime, domain)
        async with Client.of(parking.app) as client:
            assert (await client.command("/orders/42/place", PLACE)).status_code == 201
            assert (await client.command("/orders/42/cancel", CANCEL)).status_code == 200
        await catch_up(store, domain.read_model)
        assert await parking.is_parked()
        yield parking


async def test_the_page_says_what_is_parked_and_why(parking: Parking) -> None:
    async with Client.of(parking.app) as client:
        text = (await client.get(PAGE)).text
    assert "Parked in fragile" in text
    assert "order/42" in text
    assert "cannot count &lt;these&gt;" in text
    assert "2 events waiting" in text


async def test_a_retry_that_succeeds(parking: Parking) -> None:
    parking.projection.mended = True
    async with Client.of(parking.app) as client:
        response = await client.post(f"{PAGE}/fragile/retry", data=FORM)
        assert (response.status_code, response.headers["location"]) == (
            303,
            f"{PAGE}?outcome=applied",
        )
        assert "It is in the view again." in (await client.get(response.headers["location"])).text
    assert not await parking.is_parked()
    assert await get(parking.store, parking.projection, "42") == Row("ada")


async def test_a_retry_that_fails_again(parking: Parking) -> None:
    async with Client.of(parking.app) as client:
        response = await client.post(f"{PAGE}/fragile/retry", data=FORM)
        assert response.headers["location"].endswith("?outcome=parked")
    assert await parking.is_parked()


async def test_a_skip_is_written_down_with_its_reason(parking: Parking) -> None:
    async with Client.of(parking.app) as client:
        response = await client.post(
            f"{PAGE}/fragile/skip", data={**FORM, "reason": "a test order"}
        )
        assert response.headers["location"].endswith("?outcome=applied")
    (skipped,) = await skipped_events(parking.store, parking.projection)
    assert (skipped.version, skipped.skip.reason) == (1, "a test order")


@pytest.mark.parametrize(
    ("path", "form", "status"),
    [
        ("fragile/skip", FORM, 422),
        ("fragile/skip", {**FORM, "reason": " "}, 422),
        ("fragile/retry", {"type": "order", "id": "{42}"}, 422),
        ("fragile/retry", {}, 422),
        ("other/retry", FORM, 404),
        ("fragile/forget", FORM, 405),
        ("fragile/skip", {**FORM, "reason": "x" * 20_000}, 413),
    ],
)
async def test_what_is_no_decision_changes_nothing(
    parking: Parking, path: str, form: dict[str, str], status: int
) -> None:
    async with Client.of(parking.app) as client:
        response = await client.post(f"{PAGE}/{path}", data=form)
    assert response.status_code == status
    assert await parking.is_parked()
    assert await skipped_events(parking.store, parking.projection) == []


async def test_what_is_not_parked_any_more(parking: Parking) -> None:
    async with Client.of(parking.app) as client:
        response = await client.post(f"{PAGE}/fragile/retry", data={"type": "order", "id": "7"})
        assert response.headers["location"].endswith("?outcome=absent")
        assert (await client.get(f"{PAGE}?outcome=guess")).status_code == 422


async def test_a_page_of_another_site_cannot_send_the_form(parking: Parking) -> None:
    parking.projection.mended = True
    async with Client.of(parking.app) as client:
        for headers in ({"sec-fetch-site": "cross-site"}, {"origin": "http://evil.test"}):
            response = await client.post(f"{PAGE}/fragile/retry", data=FORM, headers=headers)
            assert response.status_code == 401
        assert (await client.get(f"{PAGE}/fragile/retry")).status_code == 405
    assert await parking.is_parked()


async def test_only_an_admin_decides_and_is_named(parking: Parking, runtime: Runtime) -> None:
    writer, writers = new_key("ann", "write")
    admin, admins = new_key("bea", "admin")
    keys = ApiKeys([writers, admins])
    domain = Domain(aggregates=[Order], projections=[Fragile])
    app = create_app(domain, parking.store, runtime, access=Access([keys]))
    form = {**FORM, "reason": "a test order"}
    async with Client.of(app) as client:
        for secret, status in ((writer, 403), (admin, 303)):
            headers = {"authorization": f"Bearer {secret}"}
            response = await client.post(f"{PAGE}/fragile/skip", data=form, headers=headers)
            assert response.status_code == status
    (skipped,) = await skipped_events(parking.store, parking.projection)
    assert skipped.skip.by == "bea"


@needs_chromium
async def test_a_person_tries_again_and_then_skips(parking: Parking) -> None:
    async with serving(parking.app) as port, reading(f"http://127.0.0.1:{port}") as page:
        await page.goto(PAGE)
        await expect(page.locator("#pulse")).to_have_text("live")
        await expect(page.get_by_role("article", name="order/42")).to_contain_text("cannot count")
        assert await violations(page) == []
        await keep_screenshot(page, "parked-light")

        await page.get_by_role("button", name="Try again order/42").click()
        await expect(page.get_by_text("It failed again")).to_be_visible()

        await page.get_by_label("because").fill("a test order")
        await page.keyboard.press("Enter")
        await expect(page.get_by_text("It is in the view again.")).to_be_visible()
        await expect(page.get_by_role("article", name="order/42")).to_have_count(0)
        await keep_screenshot(page, "parked-skipped-light")
        parking.app.state.live.end()
    assert not await parking.is_parked()


@needs_chromium
async def test_a_decision_is_taken_after_the_server_was_away(parking: Parking) -> None:
    with socket.create_server(("127.0.0.1", 0)) as found:
        port: int = found.getsockname()[1]
    async with reading(f"http://127.0.0.1:{port}", trouble=True) as page:
        async with serving(parking.app, port):
            await page.goto(PAGE)
            await expect(page.locator("#pulse")).to_have_text("live")
            await page.get_by_label("because").fill("a test order")
            parking.app.state.live.end()
        await expect(page.locator("#pulse")).to_have_text("reconnecting")
        async with serving(parking.app_again, port):
            await expect(page.locator("#pulse")).to_have_text("live")
            await expect(page.get_by_label("because")).to_have_value("a test order")
            await page.get_by_role("button", name="Skip version 1 of order/42").click()
            await expect(page.get_by_text("It is in the view again.")).to_be_visible()
            parking.app_again.state.live.end()
    assert not await parking.is_parked()
