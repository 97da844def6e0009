"""A reader with a real browser: Debian's Chromium, driven by Playwright."""

import shutil
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal, cast

import pytest
from playwright.async_api import Page, async_playwright, expect

CHROMIUM = shutil.which("chromium")
# For people to look at; not part of the repository.
SCREENSHOTS = Path(__file__).parent / "screenshots"

needs_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="Chromium is not installed: apt-get install chromium"
)

# Milliseconds. A condition is waited for, so a busy machine may take its time.
expect.set_options(timeout=20_000)

Scheme = Literal["light", "dark"]
_AXE = Path(__file__).parent / "vendor/axe-core-4.14.1.min.js"


@asynccontextmanager
async def reading(
    base: str,
    *,
    scheme: Scheme = "light",
    scripts: bool = True,
    trouble: bool = False,
    password: str = "",
) -> AsyncGenerator[Page]:
    """A page of a browser whose addresses begin at ``base``.

    It fails at the end if the browser has reported an error, unless there was to be ``trouble``,
    and if anything was asked of another server.
    """
    errors: list[str] = []
    asked: list[str] = []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        try:
            page = await browser.new_page(
                base_url=base,
                color_scheme=scheme,
                http_credentials={"username": "ada", "password": password} if password else None,
                java_script_enabled=scripts,
                viewport={"width": 1280, "height": 800},
            )
            page.on("console", lambda said: errors.append(said.text) if _bad(said.type) else None)
            page.on("pageerror", lambda error: errors.append(str(error)))
            page.on("request", lambda request: asked.append(request.url))
            yield page
        finally:
            await browser.close()
    assert trouble or not errors, errors
    assert [url for url in asked if not url.startswith(f"{base}/")] == []


def _bad(kind: str) -> bool:
    return kind in {"error", "warning"}


async def violations(page: Page) -> list[str]:
    """What axe-core finds serious or critical about a page."""
    await page.evaluate(_AXE.read_text(encoding="utf-8"))
    found = cast(
        "dict[str, Any]", await page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    )
    return [
        f"{one['id']}: {one['help']}: {[node['html'][:200] for node in one['nodes'][:3]]}"
        for one in found["violations"]
        if one["impact"] in {"serious", "critical"}
    ]


async def keep_screenshot(page: Page, name: str) -> None:
    SCREENSHOTS.mkdir(exist_ok=True)
    await page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)


async def drag(page: Page, slider: str, start: float, end: float) -> None:
    """Drag a slider from one part of its way to another, both from 0 to 1."""
    box = await page.locator(slider).bounding_box()
    assert box is not None
    thumb = 16  # pixels: its middle stays half of it away from the ends
    way, y = box["width"] - thumb, box["y"] + box["height"] / 2
    left = box["x"] + thumb / 2
    await page.mouse.move(left + start * way, y)
    await page.mouse.down()
    await page.mouse.move(left + end * way, y, steps=8)
    await page.mouse.up()
