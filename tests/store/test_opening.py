"""Opening a store: the URL, the identity, and what is said when it cannot be done."""

import socket

import pytest

from whence.store.address import Address
from whence.store.errors import InvalidSetting, StoreMismatch, StoreUnavailable
from whence.store.eventstore import open_store
from whence.store.keys import identity_key


async def test_a_new_store_gets_an_identity_and_keeps_it(url: str, namespace: str) -> None:
    async with open_store(url, namespace=namespace, partitions=16) as first:
        pass
    async with open_store(url, namespace=namespace) as second:
        assert second.identity == first.identity
        assert second.keys.partitions == 16


async def test_a_new_store_has_64_partitions(url: str, namespace: str) -> None:
    async with open_store(url, namespace=namespace) as store:
        assert store.keys.partitions == 64


async def test_another_partition_count_is_refused(url: str, namespace: str) -> None:
    async with open_store(url, namespace=namespace, partitions=16):
        pass
    with pytest.raises(StoreMismatch, match="has 16 partitions, not 32"):
        async with open_store(url, namespace=namespace, partitions=32):
            pass


async def test_another_grammar_is_refused(url: str, namespace: str) -> None:
    async with open_store(url, namespace=namespace) as store:
        await store.ask("HSET", identity_key(namespace), "grammar", 2)

    with pytest.raises(StoreMismatch, match="key grammar 2"):
        async with open_store(url, namespace=namespace):
            pass


async def test_nobody_at_the_address() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        with pytest.raises(StoreUnavailable, match=f"127.0.0.1:{port}"):
            async with open_store(f"redis://:secret@127.0.0.1:{port}"):
                pass


@pytest.mark.parametrize(
    "url", ["", "redis", "http://localhost", "redis://localhost:port", "unix//x"]
)
def test_a_url_that_names_no_server_is_refused(url: str) -> None:
    with pytest.raises(InvalidSetting) as caught:
        Address.parse(url)
    assert caught.value.field == "url"


def test_a_password_that_breaks_the_url_is_not_repeated() -> None:
    with pytest.raises(InvalidSetting, match="cannot be read") as caught:
        Address.parse("redis://:se/cret@host:6379")
    assert "se" not in str(caught.value).split()


def test_a_password_is_never_shown() -> None:
    address = Address.parse("valkey://ann:secret@example:7000/2")

    assert address.url == "redis://ann:secret@example:7000/2"
    assert address.shown == "redis://example:7000/2"
