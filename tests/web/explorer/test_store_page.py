"""The page of the store."""

from collections.abc import AsyncIterator

import pytest

from examples.orders import domain
from tests.web.client import Client
from tests.web.explorer.html import page
from whence import Runtime
from whence.store.doctor import examine
from whence.store.eventstore import EventStore, open_store
from whence.web.app import create_app


@pytest.fixture
async def real(valkey_url: str, namespace: str) -> AsyncIterator[EventStore]:
    async with open_store(valkey_url, namespace=namespace, partitions=8) as store:
        yield store


async def test_it_shows_what_the_doctor_finds(real: EventStore) -> None:
    async with (
        Runtime(real, domain.write_model) as runtime,
        Client.of(create_app(domain, real, runtime)) as client,
    ):
        await client.cancelled("1", "2", "3")
        found = await page(client, "/explorer/store")

    assert "events 6" in found.text
    for finding in await examine(real, real.durability):
        assert finding.name in found.text
    assert "appendfsync always ok" in found.text
    figure = found.text.partition("bytes per event in memory ")[2].split()[0]
    assert 100 < int(figure.replace(",", "")) < 5_000


async def test_a_store_in_memory_says_so(client: Client) -> None:
    await client.placed("1")
    found = await page(client, "/explorer/store")
    assert "nothing is kept" in found.text
    assert "durability relaxed" in found.text


async def test_an_empty_store_has_a_page(client: Client) -> None:
    assert "events 0" in (await page(client, "/explorer/store")).text
