"""A URL says where a store lives: what is read from it, and what is refused."""

import pytest

from whence.store.address import Address
from whence.store.errors import InvalidSetting
from whence.store.topology import Node


def test_a_cluster_is_named_by_some_of_its_nodes() -> None:
    address = Address.parse(
        "valkey+cluster://ann:se%2Fcret@one:7000,two,[::1]:7002/0?socket_keepalive=yes"
    )

    assert address.nodes == (Node("one", 7000), Node("two", 6379), Node("::1", 7002))
    assert address.spread
    assert address.shown == "redis+cluster://one:7000,two:6379,[::1]:7002/0"
    options = address.pool(address.nodes[2]).connection_kwargs
    assert (options["host"], options["port"]) == ("::1", 7002)
    assert (options["username"], options["password"]) == ("ann", "se/cret")


def test_sentinels_are_named_with_the_service_that_they_watch() -> None:
    address = Address.parse(
        "rediss+sentinel://ann:secret@one,two:7001/orders?db=2&sentinel_password=pa%26ss"
    )

    assert address.nodes == (Node("one", 26379), Node("two", 7001))
    assert (address.service, address.spread) == ("orders", False)
    assert address.shown == "rediss+sentinel://one:26379,two:7001/orders"
    options = address.pool(Node("primary", 6379)).connection_kwargs
    assert (options["host"], options["db"], options["password"]) == ("primary", 2, "secret")
    assert "sentinel_password" not in options


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http+cluster://one", "is not a kind of server"),
        ("unix+cluster:///socket", "is not a kind of server"),
        ("redis+ring://one", "is not a kind of server"),
        ("redis+cluster://", "cannot be read"),
        ("redis+cluster://:secret@one,", "cannot be read"),
        ("redis+cluster://:secret@one:port", "cannot be read"),
        ("redis+cluster://:se/cret@one:7000", "cannot be read"),
        ("redis+cluster://:secret@one:99999", "cannot be read"),
        ("redis+cluster://:secret@one?secret_option=1", "cannot be read"),
        ("redis://:secret@one?secret_option=1", "cannot be read"),
        ("redis+cluster://:secret@one/2", "only one database"),
        ("redis+cluster://:secret@one?db=2", "only one database"),
        ("redis+sentinel://:secret@one:26379", "ends with the name"),
        ("redis+sentinel://:secret@one/orders/2", "ends with the name"),
    ],
)
def test_another_url_is_refused_without_its_password(url: str, why: str) -> None:
    with pytest.raises(InvalidSetting, match=why) as caught:
        Address.parse(url)
    assert caught.value.field == "url"
    assert "secret" not in str(caught.value)
