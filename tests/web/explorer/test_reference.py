"""/docs: what the addresses are and take, as a page that loads nothing from outside."""

import re
import shlex
from html import unescape

import pytest
from playwright.async_api import expect

from tests.web.client import Client
from tests.web.explorer.browser import (
    Scheme,
    keep_screenshot,
    needs_chromium,
    reading,
    violations,
)


async def page_of(client: Client) -> str:
    response = await client.get("/docs")
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    return response.text


async def test_it_has_every_address_of_the_description(client: Client) -> None:
    page = unescape(await page_of(client))
    for path, item in (await client.document("/openapi.json"))["paths"].items():
        for method in item.keys() - {"parameters"}:
            assert f'<span class="method">{method.upper()}</span> <code>{path}</code>' in page


async def test_every_link_within_the_page_leads_somewhere(client: Client) -> None:
    page = await page_of(client)
    ids = re.findall(r' id="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    links = re.findall(r'href="#([^"]+)"', page)
    assert len(links) > 30
    assert set(links) <= set(ids)


async def test_the_policy_lets_nothing_in_but_its_style(client: Client) -> None:
    response = await client.get("/docs")
    policy = response.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'self'; img-src 'self'")
    assert "<script" not in response.text
    assert not re.search(r'(?:src|href)="(?!/docs/|/openapi\.json|#)', response.text)


async def test_the_curl_line_of_a_command_works(client: Client) -> None:
    page = unescape(await page_of(client))
    (line,) = re.findall(r"<code>(curl \S+/orders/42/place .*)</code>", page)
    _, url, *rest = shlex.split(line)
    header, body = rest[1], rest[3]
    assert url == "http://whence.test/orders/42/place"
    name, _, value = header.partition(": ")
    response = await client.post(url, content=body, headers={name: value})
    assert response.status_code == 201, response.text


async def test_a_command_without_arguments_has_a_line_as_well(client: Client) -> None:
    page = unescape(await page_of(client))
    assert "curl http://whence.test/orders/42/approve " in page


async def test_only_what_is_there_is_there(client: Client) -> None:
    assert (await client.get("/docs/guess.css")).status_code == 404
    assert (await client.post("/docs")).status_code == 405
    assert (await client.get("/docs/reference.css")).headers["content-type"].startswith("text/css")


@needs_chromium
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_it_is_sound_in_light_and_dark(base: str, scheme: Scheme) -> None:
    async with reading(base, scheme=scheme) as page:
        await page.goto("/docs")
        await expect(page.locator("h1")).to_have_text("The HTTP interface")
        await keep_screenshot(page, f"docs-{scheme}")
        assert await violations(page) == []
        await page.set_viewport_size({"width": 380, "height": 800})
        assert await violations(page) == []
        await keep_screenshot(page, f"docs-narrow-{scheme}")


@needs_chromium
async def test_it_works_by_keyboard_and_without_scripts(base: str) -> None:
    async with reading(base, scripts=False) as page:
        await page.goto("/docs")
        await page.keyboard.press("Tab")
        await page.keyboard.press("Enter")
        await page.get_by_role("navigation").get_by_role("link", name="order", exact=True).click()
        assert page.url.endswith("/docs#order")
