"""The pages as a whole: their addresses, their headers, and what they never do."""

import re

import pytest
from starlette.applications import Starlette

from examples.orders import domain
from tests.web.client import Client
from tests.web.explorer.html import page
from whence import Runtime
from whence.store.eventstore import EventStore
from whence.web.app import create_app

PAGES = [
    "/explorer",
    "/explorer/",
    "/explorer/aggregates/order/42",
    "/explorer/aggregates/order/42?field=status&version=1",
    "/explorer/projections",
    "/explorer/store",
]


@pytest.mark.parametrize("path", [*PAGES, "/explorer/nothing", "/explorer/aggregates/order/none"])
async def test_every_page_is_strict_about_what_it_runs(client: Client, path: str) -> None:
    await client.cancelled("42")
    response = await client.get(path)

    policy = response.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert "<script>" not in response.text
    assert " style=" not in response.text
    assert not re.search(r"\son\w+=", response.text)


@pytest.mark.parametrize("path", PAGES)
async def test_nothing_is_asked_of_another_server(client: Client, path: str) -> None:
    await client.cancelled("42")
    found = await page(client, path)

    asked = [a.get("src") or a["href"] for tag, a in found.tags if tag in {"script", "link"}]
    assert len(asked) == 4
    for address in asked:
        assert address.startswith("/explorer/static/")
        assert (await client.get(address)).status_code == 200


async def test_a_file_that_a_browser_has_is_not_sent_again(client: Client) -> None:
    first = await client.get("/explorer/static/explorer.css")
    again = await client.get(
        "/explorer/static/explorer.css", headers={"if-none-match": first.headers["etag"]}
    )
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("name", ["htmx-2.0.11.LICENSE.txt", "htmx-2.0.11.min.js"])
async def test_htmx_comes_with_its_licence(client: Client, name: str) -> None:
    assert (await client.get(f"/explorer/static/{name}")).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/explorer/nothing",
        "/explorer/static/nothing.css",
        "/explorer/static/..%2Fpages.py",
        "/explorer/aggregates/order",
        "/explorer/aggregates/order/42/more",
        "/explorer/live/nothing",
        "/explorer/live",
    ],
)
async def test_an_unknown_address_gets_a_page(client: Client, path: str) -> None:
    found = await page(client, path, 404)
    assert "Not Found" in found.text


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_it_only_shows(client: Client, method: str) -> None:
    response = await client.request(method, "/explorer/store")
    assert response.status_code == 405
    assert response.headers["allow"] == "GET, HEAD"


async def test_head_answers_without_a_body(client: Client) -> None:
    assert (await client.head("/explorer")).status_code == 200


async def test_an_unknown_parameter_is_refused(client: Client) -> None:
    found = await page(client, "/explorer?a=<b>", 422)
    assert "no query parameter '<b>'" not in found.source
    assert "no query parameter 'a'" in found.text


async def test_the_index_names_it(client: Client) -> None:
    assert (await client.document("/"))["explorer"] == "/explorer"


async def test_it_can_be_left_out(store: EventStore, runtime: Runtime) -> None:
    app: Starlette = create_app(domain, store, runtime, explorer=False)
    async with Client.of(app) as client:
        assert (await client.get("/explorer")).status_code == 404
        assert "explorer" not in await client.document("/")
