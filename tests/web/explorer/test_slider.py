"""Going through time in a real browser: by mouse, by keyboard, and without scripts."""

import asyncio
import re

from playwright.async_api import Page, Route, expect

from tests.web.explorer.browser import (
    drag,
    keep_screenshot,
    needs_chromium,
    reading,
    violations,
)
from tests.web.explorer.domain import Opened
from whence.store.append import Append, NewEvent
from whence.store.eventstore import EventStore
from whence.store.ids import StreamId
from whence.store.registry import Encoded

pytestmark = needs_chromium

ACCOUNT = "/explorer/aggregates/account/7"


async def shows(page: Page, version: int, owner: str) -> None:
    """Wait until the page shows this state."""
    await expect(page.locator("#state-title")).to_have_text(f"State after version {version}")
    await expect(page.locator(".state ins").first).to_have_text(f'"{owner}"')
    await expect(page.locator("#version")).to_have_value(str(version))
    await expect(page.locator("#version-shown")).to_have_text(f"{version} of 5")
    await expect(page.locator('.timeline [aria-current="step"] .version')).to_have_text(
        str(version)
    )


async def test_the_slider_moves_by_keyboard(accounts_base: str) -> None:
    async with reading(accounts_base) as page:
        await page.goto(ACCOUNT)
        await shows(page, 5, "eve")
        await page.get_by_label("Version", exact=True).focus()
        await page.keyboard.press("Home")
        await shows(page, 1, "ann")
        await page.keyboard.press("ArrowRight")
        await shows(page, 2, "bea")
        await expect(page.locator("#version")).to_be_focused()
        assert page.url == f"{accounts_base}{ACCOUNT}?version=2"
        await page.reload()
        await shows(page, 2, "bea")


async def test_the_slider_moves_by_mouse(accounts_base: str) -> None:
    async with reading(accounts_base) as page:
        await page.goto(ACCOUNT)
        await drag(page, "#version", 1.0, 0.5)
        await shows(page, 3, "cleo")
        await drag(page, "#version", 0.5, 0.0)
        await shows(page, 1, "ann")


async def test_the_slider_of_moments_moves_both(accounts_base: str) -> None:
    async with reading(accounts_base) as page:
        await page.goto(ACCOUNT)
        await drag(page, "#ms", 1.0, 0.3)
        await shows(page, 2, "bea")
        await expect(page.locator("#at")).to_have_value(re.compile("2026-01-31T12:01"))
        await page.get_by_label("Moment", exact=True).focus()
        await page.keyboard.press("Home")
        await shows(page, 1, "ann")
        for _ in range(3):  # each a tenth of the way, and the second version comes after a quarter
            await page.keyboard.press("PageUp")
        await shows(page, 2, "bea")
        await expect(page.locator("#at")).to_have_value("2026-01-31T12:01:12")
        await page.locator("#at").fill("2026-01-31T12:03:30.000")
        await page.get_by_role("button", name="Go").click()
        await shows(page, 4, "dora")


async def test_a_moment_before_the_beginning_gets_a_page_that_says_so(accounts_base: str) -> None:
    async with reading(accounts_base, trouble=True) as page:
        await page.goto(ACCOUNT)
        await page.locator("#at").fill("2025-12-31T12:00:00.000")
        await page.locator("#at").press("Enter")
        await expect(page.locator(".lead")).to_contain_text("account/7 did not exist at 2025-12-31")


async def test_the_last_of_several_movements_counts(accounts_base: str) -> None:
    async with reading(accounts_base) as page:
        go_on = asyncio.Event()

        async def wait(route: Route) -> None:
            await go_on.wait()
            await route.continue_()

        await page.goto(ACCOUNT)
        await page.route("**/account/7?version=*", wait)
        await page.get_by_label("Version", exact=True).focus()
        async with page.expect_request("**/account/7?version=4"):
            await page.keyboard.press("ArrowLeft")
        await page.keyboard.press("ArrowLeft")
        await page.get_by_label("Moment", exact=True).focus()
        await page.keyboard.press("Home")
        async with page.expect_response("**/account/7?ms=*"):
            go_on.set()
        await shows(page, 1, "ann")


async def test_links_move_through_the_versions(accounts_base: str) -> None:
    async with reading(accounts_base) as page:
        await page.goto(ACCOUNT)
        await page.get_by_role("link", name="Back").click()
        await shows(page, 4, "dora")
        await page.get_by_role("link", name="First").focus()
        await page.keyboard.press("Enter")
        await shows(page, 1, "ann")
        await page.keyboard.press("Tab")  # from where it was, over the end of the way back
        await expect(page.get_by_role("link", name="On", exact=True)).to_be_focused()
        await page.get_by_role("link", name="Version 3, Renamed").click()
        await shows(page, 3, "cleo")
        await page.get_by_role("link", name="Newest").click()
        await shows(page, 5, "eve")
        assert page.url == f"{accounts_base}{ACCOUNT}"


async def test_it_works_without_scripts(accounts_base: str) -> None:
    async with reading(accounts_base, scripts=False) as page:
        await page.goto(f"{ACCOUNT}?field=owner")
        await page.get_by_label("Version", exact=True).focus()
        await page.keyboard.press("Home")
        await page.locator("#by-version").get_by_role("button", name="Show").click()
        await shows(page, 1, "ann")
        await expect(page.locator(".chain > li")).to_have_count(5)
        await page.get_by_role("link", name="On", exact=True).click()
        await shows(page, 2, "bea")
        await page.get_by_role("link", name="names", exact=True).click()
        await expect(page.locator("#why-title")).to_have_text("Why is names what it is?")


async def test_an_event_that_cannot_be_read_does_not_stop_the_slider(
    store: EventStore, accounts_base: str
) -> None:
    strange = NewEvent(Encoded("Vanished", 1, b'{"x":1}', Opened("")))
    await store.append(Append(StreamId("account", "7"), 5, "c", [strange]))
    async with reading(accounts_base, trouble=True) as page:
        await page.goto(f"{ACCOUNT}?version=5")
        await page.get_by_label("Version", exact=True).focus()
        await page.keyboard.press("End")
        await expect(page.get_by_role("alert")).to_contain_text("Vanished")
        await expect(page.locator(".timeline")).to_contain_text("Vanished")
        await keep_screenshot(page, "trouble-light")
        assert await violations(page) == []
        await page.keyboard.press("Home")
        await expect(page.locator("#state-title")).to_have_text("State after version 1")
