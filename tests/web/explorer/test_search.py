"""The first page: find an aggregate, or see what changed last."""

import re

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from tests.web.client import PLACE, Client
from tests.web.explorer.html import html, page


async def test_an_empty_store_says_how_to_begin(client: Client) -> None:
    found = await page(client, "/explorer")

    assert "Nothing has happened yet" in found.text
    line = re.search(r"curl (\S+) -H .* -d '([^']*)'", found.text)
    assert line is not None
    placed = await client.post(
        line[1], content=line[2], headers={"content-type": "application/json"}
    )
    assert placed.status_code == 201, placed.text


async def test_it_lists_what_changed_last_the_newest_first(client: Client) -> None:
    await client.placed("1", "2", "3")
    await client.command("/orders/2/approve")

    found = await page(client, "/explorer")

    ids = [text for text in found.links if text in {"1", "2", "3"}]
    assert ids == ["2", "3", "1"]
    assert found.links["2"] == "/explorer/aggregates/order/2"
    assert "OrderApproved version 2" in found.text


async def test_the_form_leads_to_the_aggregate(client: Client) -> None:
    response = await client.get("/explorer/find", params={"type": "order", "id": " 4~2 "})
    assert response.status_code == 303
    assert response.headers["location"] == "/explorer/aggregates/order/4~2"


async def test_a_type_may_stand_before_the_id(client: Client) -> None:
    response = await client.get("/explorer/find", params={"type": "other", "id": "order/42"})
    assert response.headers["location"] == "/explorer/aggregates/order/42"


@pytest.mark.parametrize(
    ("type_name", "id_", "status", "sentence"),
    [
        ("order", "", 422, "type the id of an aggregate"),
        ("order", "<script>", 422, "is not a valid id"),
        ("order", "a/b/c", 404, "there is no aggregate 'a'"),
        ("<b>", "1", 404, "there is no aggregate '<b>'"),
    ],
)
async def test_what_cannot_be_found_gets_a_page(
    client: Client, type_name: str, id_: str, status: int, sentence: str
) -> None:
    asked = {"type": type_name, "id": id_}
    found = html(await client.get("/explorer/find", params=asked), status)
    assert sentence in found.text
    assert found.links["Search for something else"] == "/explorer"


async def test_a_domain_without_an_order_to_suggest(accounts: Client) -> None:
    found = await page(accounts, "/explorer")
    assert "accounts/42/open" in found.text


async def test_a_mounted_application_has_links_below_its_root(app: Starlette) -> None:
    async with Client.of(Starlette(routes=[Mount("/shop", app=app)])) as mounted:
        assert (await mounted.command("/shop/orders/42/place", PLACE)).status_code == 201
        found = await page(mounted, "/shop/explorer")
        await page(mounted, found.links["42"])
        assert found.links["42"].startswith("/shop/explorer/")
        assert (await mounted.get(found.of("link", rel="stylesheet")[0]["href"])).is_success
