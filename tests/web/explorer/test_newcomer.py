"""The first five minutes: start it, place an order, cancel it, go back in time, ask why."""

import asyncio
from pathlib import Path

import httpx
from playwright.async_api import expect

from tests.cli.program import ORDERS, Program
from tests.web.explorer.browser import drag, keep_screenshot, needs_chromium, reading

ITEMS = [{"sku": "book", "quantity": 2, "price": 1500}]


@needs_chromium
async def test_the_first_five_minutes(tmp_path: Path) -> None:
    with Program("dev", ORDERS, "--port", "0", cwd=tmp_path) as program:
        started = await asyncio.to_thread(program.until_says, "/explorer")
        explorer = next(word for word in started.stdout.split() if word.endswith("/explorer"))
        base = explorer.removesuffix("/explorer")

        async with reading(base) as page, httpx.AsyncClient(base_url=base) as client:
            await page.goto(explorer)
            await expect(page.get_by_text("Nothing has happened yet")).to_be_visible()

            order = {"user_id": "ann", "items": ITEMS}
            assert (await client.post("/orders/42/place", json=order)).status_code == 201
            await page.get_by_role("link", name="order/42").click()
            await expect(page.locator("#version-shown")).to_have_text("1 of 1")
            await expect(page.locator("#pulse")).to_have_text("live")

            why = {"reason": "found it cheaper", "cancelled_by": "ann"}
            assert (await client.post("/orders/42/cancel", json=why)).status_code == 200
            await expect(page.locator("#version-shown")).to_have_text("2 of 2")
            await expect(page.locator(".state .changed").first).to_contain_text('"cancelled"')

            await drag(page, "#version", 1.0, 0.0)
            await expect(page.locator("#state-title")).to_have_text("State after version 1")
            await expect(page.locator(".state")).to_contain_text('"pending"')
            await drag(page, "#version", 0.0, 1.0)
            await expect(page.locator("#state-title")).to_have_text("State after version 2")

            await page.get_by_role("link", name="status", exact=True).click()
            last = page.locator(".chain > li").last
            await expect(last).to_contain_text('"pending" → became "cancelled"')
            await expect(last).to_contain_text("by ann")
            await expect(last).to_contain_text("found it cheaper")
            await keep_screenshot(page, "newcomer-light")
        assert await asyncio.to_thread(program.end) == 0
        assert program.stderr == ""


async def test_ctrl_c_ends_it_although_a_page_listens(tmp_path: Path) -> None:
    with Program("dev", ORDERS, "--port", "0", cwd=tmp_path) as program:
        base = await asyncio.to_thread(lambda: program.base)
        async with (
            httpx.AsyncClient(base_url=base) as client,
            client.stream("GET", "/explorer/live/store") as response,
        ):
            pieces = response.aiter_text()
            assert await anext(pieces)
            assert await asyncio.to_thread(program.end) == 0
            assert [piece async for piece in pieces if "trouble" in piece] == []
        assert program.stderr == ""
