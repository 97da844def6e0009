"""A lost answer is not a failure: the store finds out what happened (RELIABILITY rule 2)."""

import random
from collections.abc import AsyncIterator

import pytest

from tests.faults.proxy import Proxy, proxy_to
from tests.store.domain import Deposited, Opened, account, append_of
from whence.store.address import Address
from whence.store.append import Committed, Duplicate
from whence.store.errors import OutcomeUnknown, StoreUnavailable
from whence.store.eventstore import EventStore, open_store
from whence.store.identity import Identity
from whence.store.keys import Keys


@pytest.fixture
async def proxy(valkey_url: str) -> AsyncIterator[Proxy]:
    async with proxy_to(valkey_url) as proxy:
        yield proxy


class FirstOnly:
    """True for the first chunk that contains the marker."""

    def __init__(self, marker: bytes) -> None:
        self._marker = marker
        self._done = False

    def __call__(self, chunk: bytes) -> bool:
        if self._done or self._marker not in chunk:
            return False
        self._done = True
        return True


async def test_an_append_whose_answer_was_lost_is_recognised(proxy: Proxy, namespace: str) -> None:
    async with open_store(proxy.url, namespace=namespace) as store:
        proxy.lose_reply = FirstOnly(b"committed")

        outcome = await store.append(append_of(account(), 0, Opened("ann")))

        assert proxy.lost == 1
        assert isinstance(outcome, Duplicate)
        assert await store.head(account()) == 1


async def test_an_append_whose_request_was_lost_is_made(proxy: Proxy, namespace: str) -> None:
    async with open_store(proxy.url, namespace=namespace) as store:
        proxy.lose_request = FirstOnly(b"Opened")

        outcome = await store.append(append_of(account(), 0, Opened("ann")))

        assert proxy.lost == 1
        assert isinstance(outcome, Committed)
        assert await store.head(account()) == 1


async def test_losing_at_random_stores_every_event_once(proxy: Proxy, namespace: str) -> None:
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    async with open_store(proxy.url, namespace=namespace) as store:
        proxy.lose_reply = proxy.lose_request = lambda _: chance.random() < 0.2
        for version in range(60):
            outcome = await store.append(append_of(account(), version, Deposited(version)))
            assert isinstance(outcome, (Committed, Duplicate)), f"seed {seed}"
        proxy.lose_reply = proxy.lose_request = lambda _: False

        assert await store.head(account()) == 60
        assert proxy.lost > 0


async def test_without_any_answer_the_outcome_is_unknown(proxy: Proxy, namespace: str) -> None:
    async with open_store(proxy.url, namespace=namespace) as opened:
        store = impatient(opened.address, opened.keys, opened.identity)
        proxy.lose_reply = lambda chunk: b"committed" in chunk or b"duplicate" in chunk

        with pytest.raises(OutcomeUnknown, match="append to account/42 may or may not"):
            await store.append(append_of(account(), 0, Opened("ann")))

        proxy.lose_reply = lambda _: False
        assert await store.head(account()) == 1
        await store.close()


async def test_a_server_that_cannot_be_reached_is_unavailable_not_unknown(
    proxy: Proxy, namespace: str
) -> None:
    async with open_store(proxy.url, namespace=namespace) as opened:
        nobody = Address.parse("redis://127.0.0.1:1")
        store = impatient(nobody, opened.keys, opened.identity)

        with pytest.raises(StoreUnavailable):
            await store.append(append_of(account(), 0, Opened("ann")))
        await store.close()


def impatient(address: Address, keys: Keys, identity: Identity) -> EventStore:
    return EventStore(address, keys, identity, resolve_for=0.2)
