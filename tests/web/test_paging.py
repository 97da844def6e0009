"""Link headers lead through every page, and long answers are compressed."""

import httpx
import pytest

from tests.web.client import Client


async def pages(client: Client, path: str) -> list[httpx.Response]:
    """All pages, found by following the links alone."""
    found = [await client.get(path)]
    while "next" in found[-1].links:
        assert len(found) < 20, "the links lead in a circle"
        found.append(await client.get(found[-1].links["next"]["url"]))
    return found


async def test_the_links_lead_through_all_events(client: Client) -> None:
    await client.cancelled("42")
    found = await pages(client, "/orders/42/events?limit=1")

    assert [event["version"] for page in found for event in page.json()["events"]] == [1, 2]
    assert [page.json()["next"] for page in found] == [1, None]


async def test_a_link_keeps_the_parameters_of_its_page(client: Client) -> None:
    await client.cancelled("42")
    first = await client.get("/orders/42/events?limit=1&after=0")

    assert first.links["next"]["url"] == "/orders/42/events?limit=1&after=1"


@pytest.mark.parametrize("path", ["/orders/42/events", "/views/order-list"])
async def test_a_single_page_has_no_link(client: Client, path: str) -> None:
    await client.placed("42")
    assert "link" not in (await client.get(path)).headers


async def test_a_long_answer_is_compressed_for_those_who_can_read_it(client: Client) -> None:
    packed = await client.get("/openapi.json", headers={"accept-encoding": "gzip"})
    plain = await client.get("/openapi.json", headers={"accept-encoding": "identity"})
    await client.cancelled("42")
    story = await client.get("/orders/42/why", headers={"accept-encoding": "gzip"})
    short = await client.get("/livez", headers={"accept-encoding": "gzip"})

    assert story.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in short.headers
    assert "content-encoding" not in plain.headers
    assert packed.json() == plain.json()
