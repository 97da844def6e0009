"""The Explorer in a real browser. Its screenshots are kept in tests/web/explorer/screenshots/."""

import asyncio
import socket

import httpx
import pytest
from playwright.async_api import Page, expect
from starlette.applications import Starlette

from examples.orders import domain
from examples.orders.domain import Item, Order
from tests.web.client import CANCEL, PLACE, Client
from tests.web.explorer.browser import (
    Scheme,
    keep_screenshot,
    needs_chromium,
    reading,
    violations,
)
from tests.web.explorer.domain import Flagged, Renamed, append
from tests.web.serving import serving
from whence import Runtime
from whence.projections.worker import Worker
from whence.store.eventstore import EventStore
from whence.store.ids import StreamId
from whence.store.metadata import Metadata
from whence.web.access import Access
from whence.web.apikeys import ApiKeys, new_key
from whence.web.app import create_app
from whence.web.explorer import streams

pytestmark = needs_chromium

ORDER = "/explorer/aggregates/order/42"
ACCOUNT = "/explorer/aggregates/account/7"


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_every_page_is_sound_in_light_and_dark(
    client: Client, store: EventStore, base: str, scheme: Scheme
) -> None:
    async with reading(base, scheme=scheme) as page:

        async def sound(name: str, path: str) -> None:
            await page.goto(path)
            await expect(page.locator("h1")).to_be_visible()
            if await page.locator("main[data-live]").count():
                await expect(page.locator("#pulse")).to_have_text("live")
            await keep_screenshot(page, f"{name}-{scheme}")
            assert await violations(page) == [], path

        await sound("empty", "/explorer")
        await client.cancelled("42")
        await client.placed(*[str(number) for number in range(30)])
        await store.ask(
            "HSET", store.keys.checkpoint(3, "order-list"), "failure", "ValueError: no such price"
        )
        await sound("search", "/explorer")
        await sound("order", ORDER)
        await sound("order-past", f"{ORDER}?version=1&field=status")
        await sound("order-why", f"{ORDER}?field=status")
        await sound("projections", "/explorer/projections")
        await page.get_by_text("By partition").first.click()
        assert await violations(page) == []
        await sound("store", "/explorer/store")
        await page.set_viewport_size({"width": 380, "height": 800})
        await sound("order-narrow", f"{ORDER}?field=status")
        await sound("store-narrow", "/explorer/store")


async def test_a_problem_is_a_sound_page(base: str) -> None:
    async with reading(base, trouble=True) as page:
        await page.goto("/explorer/aggregates/order/none")
        await expect(page.get_by_role("heading")).to_have_text("There is no such aggregate")
        await keep_screenshot(page, "problem-light")
        assert await violations(page) == []
        await page.get_by_role("link", name="Search for something else").click()
        await expect(page.get_by_role("heading", level=1)).to_have_text("What happened?")


async def test_a_field_tells_why_and_leads_to_the_cause(
    accounts_base: str, store: EventStore
) -> None:
    case = StreamId("case", "9")
    await append(store, case, [Flagged("the name was misspelt", "grace")])
    told = Metadata(
        who="ada", reason="asked for by mail", correlation_id="s-1", causation_id=f"{case}@1"
    )
    await append(store, StreamId("account", "7"), [Renamed("Eve")], expected=5, metadata=told)
    async with reading(accounts_base) as page:
        await page.goto(ACCOUNT)
        await page.get_by_role("link", name="owner").focus()
        await page.keyboard.press("Enter")
        last = page.locator(".chain > li").last
        await expect(last).to_contain_text('"eve" → became "Eve"')
        await expect(last).to_contain_text("asked for by mail")
        await expect(page.get_by_role("link", name="owner")).to_be_focused()
        await keep_screenshot(page, "why-causes-light")
        assert await violations(page) == []

        await page.get_by_label("Version", exact=True).focus()
        await page.keyboard.press("Home")
        await expect(page.locator("#state-title")).to_have_text("State after version 1")
        await expect(page.locator(".chain > li")).to_have_count(6)

        await page.get_by_role("link", name="case/9, version 1").click()
        await expect(page.locator("h1")).to_have_text("9")
        await expect(page.locator(".timeline")).to_contain_text("the name was misspelt")


async def test_a_new_event_appears_by_itself(client: Client, base: str) -> None:
    await client.placed("42")
    async with reading(base) as page:
        await page.goto(f"{ORDER}?field=status")
        await expect(page.locator("#pulse")).to_have_text("live")
        await client.command("/orders/42/cancel", CANCEL)
        await expect(page.locator("#version-shown")).to_have_text("2 of 2")
        await expect(page.locator(".state")).to_contain_text('"cancelled"')
        await expect(page.locator(".chain > li")).to_have_count(2)


async def test_who_looks_at_the_past_stays_there(client: Client, base: str) -> None:
    await client.placed("42")
    await client.command("/orders/42/approve")
    async with reading(base) as page:
        await page.goto(f"{ORDER}?version=1")
        await expect(page.locator("#pulse")).to_have_text("live")
        await client.command("/orders/42/cancel", CANCEL)
        await expect(page.locator("#version-shown")).to_have_text("1 of 3")
        await expect(page.get_by_text("2 newer versions")).to_be_visible()
        await expect(page.locator("#state-title")).to_have_text("State after version 1")


async def test_the_first_page_finds_by_keyboard_and_fills_by_itself(
    client: Client, base: str
) -> None:
    async with reading(base) as page:
        await page.goto("/explorer")
        await expect(page.get_by_text("Nothing has happened yet")).to_be_visible()
        await client.placed("42")
        await expect(page.get_by_role("link", name="order/42")).to_be_visible()
        await page.get_by_label("Id").focus()
        await page.keyboard.type("42")
        await page.keyboard.press("Enter")
        await expect(page.locator("h1")).to_have_text("42")


async def test_the_first_key_skips_to_the_content(base: str) -> None:
    async with reading(base) as page:
        await page.goto("/explorer/projections")
        await page.keyboard.press("Tab")
        await expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
        await page.keyboard.press("Enter")
        await expect(page.locator("main")).to_be_focused()


async def test_the_picture_moves_when_a_worker_catches_up(
    client: Client, store: EventStore, base: str
) -> None:
    await client.placed(*[str(number) for number in range(20)])
    async with reading(base) as page:
        await page.goto("/explorer/projections")
        first = page.locator(".projection").first
        await expect(first.locator(".figures dd").first).to_have_text("20")
        await first.get_by_text("By partition").click()
        worker = asyncio.create_task(Worker(store, domain.read_model).run())
        try:
            await expect(first.locator(".figures dd").first).to_have_text("0")
            await expect(first.locator("rect.bar[height='0.00']")).to_have_count(8)
        finally:
            worker.cancel()
            await asyncio.wait([worker])
        await expect(first.locator("#partitions-order-list")).to_have_attribute("open", "")


async def test_the_store_counts_by_itself(client: Client, base: str) -> None:
    async with reading(base) as page:
        await page.goto("/explorer/store")
        await expect(page.locator(".figures dd").first).to_have_text("0")
        await client.cancelled("1", "2")
        await expect(page.locator(".figures dd").first).to_have_text("4")


async def test_it_reconnects_when_the_server_comes_back(
    app: Starlette, client: Client, store: EventStore, runtime: Runtime
) -> None:
    await client.placed("42")
    with socket.create_server(("127.0.0.1", 0)) as found:
        port: int = found.getsockname()[1]
    async with reading(f"http://127.0.0.1:{port}", trouble=True) as page:
        async with serving(app, port):
            await page.goto(ORDER)
            await expect(page.locator("#pulse")).to_have_text("live")
            app.state.live.end()
        await expect(page.locator("#pulse")).to_have_text("reconnecting")
        await keep_screenshot(page, "reconnecting-light")
        again = create_app(domain, store, runtime)
        async with serving(again, port):
            await client.command("/orders/42/cancel", CANCEL)
            await expect(page.locator("#pulse")).to_have_text("live")
            await expect(page.locator("#version-shown")).to_have_text("2 of 2")
            again.state.live.end()


async def test_hostile_events_do_nothing_in_a_browser(
    store: EventStore, accounts_base: str
) -> None:
    attack = "\"'></td></script><script>document.title='owned'</script><img src=x onerror=alert(1)>"
    case = StreamId("case", "9")
    told = Metadata(who=attack, reason=attack, causation_id=attack, notes={attack: attack})
    await append(store, case, [Flagged(attack, attack)], metadata=told)
    async with reading(accounts_base) as page:
        await page.goto("/explorer/aggregates/case/9?field=status")
        await expect(page.locator("#pulse")).to_have_text("live")
        await expect(page.locator(".chain")).to_contain_text("document.title='owned'")
        assert await page.title() == "case/9 · Whence"
        assert await page.locator("img").count() == 0


async def test_a_page_in_the_background_gives_its_connection_back(
    client: Client, base: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "MAX_STREAMS", 1)
    await client.placed("42")
    async with reading(base) as page:
        await page.goto(ORDER)
        await expect(page.locator("#pulse")).to_have_text("live")
        await show_tab(page, "hidden")
        await expect(page.locator("#pulse")).to_have_text("paused")
        await client.command("/orders/42/cancel", CANCEL)
        await another_stream(base)
        await expect(page.locator("#version-shown")).to_have_text("1 of 1")
        await show_tab(page, "visible")
        await expect(page.locator("#pulse")).to_have_text("live")
        await expect(page.locator("#version-shown")).to_have_text("2 of 2")


async def show_tab(page: Page, visibility: str) -> None:
    """What happens when the reader goes to another tab, or comes back."""
    await page.evaluate(
        """visibility => {
            const state = {value: visibility, configurable: true};
            Object.defineProperty(document, "visibilityState", state);
            document.dispatchEvent(new Event("visibilitychange"));
        }""",
        visibility,
    )


async def another_stream(base: str) -> None:
    """Wait until a stream is free, and leave it again."""
    async with httpx.AsyncClient(base_url=base) as client, asyncio.timeout(10):
        while True:
            async with client.stream("GET", "/explorer/live/store") as response:
                if response.status_code == 200:
                    return


async def test_a_key_is_the_password_of_a_browser(store: EventStore, runtime: Runtime) -> None:
    secret, key = new_key("ada", "read")
    app = create_app(domain, store, runtime, access=Access([ApiKeys([key])]))
    await runtime.send(Order.place, "42", user_id="ann", items=(Item("book", 1, 1500),))
    async with serving(app) as port:
        async with reading(f"http://127.0.0.1:{port}", password=secret) as page:
            await page.goto(ORDER)
            await expect(page.locator("#pulse")).to_have_text("live")
            await runtime.send(Order.approve, "42")
            await expect(page.locator("#version-shown")).to_have_text("2 of 2")
        app.state.live.end()


async def test_a_first_order_is_seen_at_once(client: Client, base: str) -> None:
    async with reading(base) as page:
        await page.goto("/explorer")
        await client.command("/orders/place", PLACE)
        await page.locator(".recent a").first.click()
        await expect(page.locator(".timeline")).to_contain_text("OrderPlaced")
