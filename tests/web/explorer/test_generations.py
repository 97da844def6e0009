"""A view made anew from the page of the projections: asked for, watched, switched, taken back."""

import socket
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import ClassVar

import anyio
import pytest
from msgspec import Struct
from playwright.async_api import Page, expect
from starlette.applications import Starlette

from examples.orders.domain import Order, OrderPlaced
from tests.projections.domain import QUICK, working
from tests.web.client import Client
from tests.web.explorer.browser import keep_screenshot, needs_chromium, reading, violations
from tests.web.explorer.html import page as page_of
from tests.web.serving import serving
from whence import Domain, Projection, Recorded, Runtime, Views, on
from whence.projections.generations import Generations, generations
from whence.projections.projection import Projector
from whence.projections.rebuild import rebuild
from whence.projections.wishes import Wish
from whence.projections.worker import Worker
from whence.store.eventstore import EventStore
from whence.store.ids import StreamId
from whence.web.access import Access
from whence.web.apikeys import ApiKeys, new_key
from whence.web.app import create_app

PAGE = "/explorer/projections"
ORDERS = [str(number) for number in range(30)]


class Row(Struct, frozen=True):
    user_id: str


class Placed(Projection[Row], on_failure="halt"):
    """Who has placed which order. It stands still at broken ones."""

    broken: ClassVar[frozenset[str]] = frozenset()

    @on(OrderPlaced)
    def placed(self, event: OrderPlaced, record: Recorded, views: Views[Row]) -> None:
        if record.id in self.broken:
            raise ArithmeticError(f"order {record.id}")
        views.put(record.id, Row(event.user_id))


class Newer(Placed, name="placed", version=2):
    """The same, as a later release has it."""


domain = Domain(aggregates=[Order], projections=[Placed])


class Shop:
    """Thirty orders, and the application that shows them."""

    def __init__(self, store: EventStore, runtime: Runtime) -> None:
        self.store = store
        self.runtime = runtime
        self.view: Projector = domain.read_model.projector("placed")
        self.app: Starlette = create_app(domain, store, runtime)

    async def generations(self) -> Generations:
        return await generations(self.store, self.view)

    async def rebuilt(self) -> None:
        await rebuild(self.store, self.view, settings=QUICK)

    def worker(self) -> AbstractAsyncContextManager[Worker]:
        return working(self.store, domain.read_model)


@pytest.fixture
async def shop(store: EventStore) -> AsyncIterator[Shop]:
    async with Runtime(store, domain.write_model) as runtime:
        shop = Shop(store, runtime)
        async with Client.of(shop.app) as client:
            await client.placed(*ORDERS)
        yield shop


async def send(shop: Shop, action: str, generation: object, **more: str) -> str:
    """What the page says after a form was sent."""
    form = {"generation": str(generation), **more}
    async with Client.of(shop.app) as client:
        response = await client.post(f"{PAGE}/placed/{action}", data=form)
        assert response.status_code == 303, response.text
        return (await page_of(client, response.headers["location"])).text


async def test_a_rebuild_is_asked_for_and_can_be_taken_back(shop: Shop) -> None:
    said = await send(shop, "rebuild", 1, then="wait")
    assert "a worker begins it within seconds" in said
    assert "no worker has begun it yet" in said
    assert (await shop.generations()).wish == Wish("rebuild", 1, "", "1", "wait")

    assert "Nothing is asked for any more" in await send(shop, "withdraw", 1)
    assert (await shop.generations()).wish is None


async def test_a_page_that_is_old_changes_nothing(shop: Shop) -> None:
    await shop.rebuilt()
    before = await shop.generations()
    for action in ("rebuild", "switch", "abandon"):
        assert "somebody else has come first" in await send(shop, action, 1)
    for action in ("rollback", "drop"):
        assert "somebody else has come first" in await send(shop, action, 2)
    assert await shop.generations() == before


async def test_what_other_code_has_made_is_told_and_does_not_come_back(
    shop: Shop, runtime: Runtime
) -> None:
    newer = Domain(aggregates=[Order], projections=[Newer])
    shop.app = create_app(newer, shop.store, runtime)
    await shop.rebuilt()
    async with Client.of(shop.app) as client:
        text = (await page_of(client, PAGE)).text
        assert "was made by version 1 of its projection, and this code has version 2" in text
        await rebuild(shop.store, newer.read_model.projector("placed"), settings=QUICK)
        text = (await page_of(client, f"{PAGE}?outcome=rebuild")).text
        assert "only workers of that code can bring it back" in text
    assert "nothing was asked for" in await send(shop, "rollback", 2)
    assert (await shop.generations()).wish is None


@pytest.mark.parametrize(
    ("path", "form", "status"),
    [
        ("placed/rebuild", {}, 422),
        ("placed/rebuild", {"generation": "-1"}, 422),
        ("placed/rebuild", {"generation": "1", "then": "explode"}, 422),
        ("other/rebuild", {"generation": "1"}, 404),
        ("placed/rebuild", {"generation": "1" * 20_000}, 413),
    ],
)
async def test_what_is_no_form_of_ours_changes_nothing(
    shop: Shop, path: str, form: dict[str, str], status: int
) -> None:
    async with Client.of(shop.app) as client:
        assert (await client.post(f"{PAGE}/{path}", data=form)).status_code == status
        assert (await client.get(f"{PAGE}/{path}")).status_code == 405
    assert (await shop.generations()).wish is None


async def test_only_an_admin_asks_and_is_named(shop: Shop) -> None:
    writer, writers = new_key("ann", "write")
    admin, admins = new_key("bea", "admin")
    access = Access([ApiKeys([writers, admins])])
    app = create_app(domain, shop.store, shop.runtime, access=access)
    async with Client.of(app) as client:
        for secret, status in ((writer, 403), (admin, 303)):
            response = await client.post(
                f"{PAGE}/placed/rebuild",
                data={"generation": "1"},
                headers={"authorization": f"Bearer {secret}"},
            )
            assert response.status_code == status
    wish = (await shop.generations()).wish
    assert wish is not None
    assert wish.by == "bea"


async def test_a_page_of_another_site_cannot_send_the_form(shop: Shop) -> None:
    async with Client.of(shop.app) as client:
        for headers in ({"sec-fetch-site": "cross-site"}, {"origin": "http://evil.test"}):
            response = await client.post(
                f"{PAGE}/placed/rebuild", data={"generation": "1"}, headers=headers
            )
            assert response.status_code == 401
    assert (await shop.generations()).wish is None


@asynccontextmanager
async def shown(shop: Shop, *, scripts: bool = True) -> AsyncGenerator[Page]:
    """The page of the projections in a browser."""
    async with (
        serving(shop.app) as port,
        reading(f"http://127.0.0.1:{port}", scripts=scripts) as page,
    ):
        await page.goto(PAGE)
        yield page
        shop.app.state.live.end()


async def open_choices(page: Page) -> None:
    await page.get_by_text("Make it anew").focus()
    await page.keyboard.press("Enter")


@needs_chromium
async def test_a_person_rebuilds_switches_and_goes_back(shop: Shop) -> None:
    async with shown(shop) as page:
        await expect(page.locator("#pulse")).to_have_text("live")
        await open_choices(page)
        await keep_screenshot(page, "generations-light")
        assert await violations(page) == []
        await page.get_by_role("button", name="Rebuild, and I switch").focus()
        await page.keyboard.press("Enter")
        await expect(page.get_by_text("no worker has begun it yet")).to_be_visible()
        await keep_screenshot(page, "rebuild-asked-light")
        assert await violations(page) == []

        async with shop.worker():
            made = page.get_by_role("group", name="Generation 2 of placed")
            await expect(made).to_contain_text("30 of 30 events")
            await expect(made.get_by_role("progressbar")).to_have_attribute("value", "30")
            await expect(made).to_contain_text("Readers see it when somebody says so")
            await keep_screenshot(page, "rebuild-light")
            assert await violations(page) == []
            assert (await shop.generations()).live == 1

            await made.get_by_role("button", name="Let readers see it").click()
            await expect(page.get_by_text("Readers see the new generation")).to_be_visible()
            await expect(page.get_by_text("Make it anew, or go back")).to_be_visible()
            assert (await shop.generations()).live == 2

            await open_choices(page)
            await page.get_by_role("button", name="Go back to generation 1").click()
            await expect(page.get_by_text("once a worker has brought it")).to_be_visible()
            await open_choices(page)
            await expect(page.get_by_role("button", name="Go back to generation 2")).to_be_visible()
        assert (await shop.generations()).live == 1


@needs_chromium
async def test_progress_is_shown_until_the_switch_by_itself(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Placed, "broken", frozenset(["7"]))
    async with shown(shop) as page, shop.worker():
        await open_choices(page)
        await page.get_by_role("button", name="Rebuild and switch").click()
        made = page.get_by_role("group", name="Generation 2 of placed")
        await expect(made).to_contain_text("stands still")
        await expect(made).to_contain_text("Readers see it as soon as it has caught up")
        await expect(made.get_by_role("progressbar")).to_have_attribute("max", "30")
        await keep_screenshot(page, "rebuild-halted-light")
        assert await violations(page) == []
        assert (await shop.generations()).live == 1

        monkeypatch.setattr(Placed, "broken", frozenset[str]())
        await expect(page.get_by_text("Make it anew, or go back")).to_be_visible()
    assert (await shop.generations()).live == 2


@needs_chromium
async def test_what_differs_is_shown_and_waits(shop: Shop) -> None:
    async with shown(shop) as page, shop.worker():
        await expect(page.locator(".figures dd").first).to_have_text("0")
        key = shop.store.keys.view(shop.store.keys.partition(StreamId("order", "7")), "placed")
        await shop.store.ask("HSET", key, "7", b'{"user_id":"<b>bob</b>"}')
        await open_choices(page)
        await page.get_by_role("button", name="Rebuild, compare").click()
        made = page.get_by_role("group", name="Generation 2 of placed")
        await expect(made).to_contain_text("1 row of 30 differs from the live generation")
        await expect(made.get_by_role("row", name="7 user_id")).to_contain_text("<b>bob</b>")
        await keep_screenshot(page, "rebuild-compared-light")
        assert await violations(page) == []
        assert (await shop.generations()).live == 1

        await made.get_by_role("button", name="Let readers see it").click()
        await expect(page.get_by_text("Make it anew, or go back")).to_be_visible()
    assert (await shop.generations()).live == 2


@needs_chromium
async def test_it_works_without_scripts(shop: Shop) -> None:
    async with shown(shop, scripts=False) as page, shop.worker():
        await page.get_by_text("Make it anew").click()
        await page.get_by_role("button", name="Rebuild, and I switch").click()
        with anyio.fail_after(30):
            while (await shop.generations()).building is None:
                await anyio.sleep(0.05)
        await page.reload()
        await page.get_by_role("button", name="Give it up").click()
        await expect(page.get_by_text("A worker drops what was built")).to_be_visible()
        with anyio.fail_after(30):
            while (await shop.generations()).building is not None:
                await anyio.sleep(0.05)


@needs_chromium
async def test_the_page_comes_back_with_the_server(shop: Shop) -> None:
    with socket.create_server(("127.0.0.1", 0)) as found:
        port: int = found.getsockname()[1]
    async with reading(f"http://127.0.0.1:{port}", trouble=True) as page:
        async with serving(shop.app, port):
            await page.goto(PAGE)
            await expect(page.locator("#pulse")).to_have_text("live")
            await open_choices(page)
            await page.get_by_role("button", name="Rebuild, and I switch").click()
            await expect(page.get_by_text("no worker has begun it yet")).to_be_visible()
            await expect(page.locator("#pulse")).to_have_text("live")
            shop.app.state.live.end()
        await expect(page.locator("#pulse")).to_have_text("reconnecting")
        again = create_app(domain, shop.store, shop.runtime)
        async with serving(again, port), shop.worker():
            await expect(page.locator("#pulse")).to_have_text("live")
            made = page.get_by_role("group", name="Generation 2 of placed")
            await expect(made).to_contain_text("30 of 30 events")
            again.state.live.end()
