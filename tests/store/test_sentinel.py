"""The store follows the primary that sentinels name, and loses nothing acknowledged on the way."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.faults.load import AGGREGATES, under_load
from tests.store.domain import Deposited, Opened, account, append_of
from tests.store.plain_server import PlainServer, eventually, free_port, plain_server, replicate
from tests.store.sentinel_server import Sentinel, sentinel_server
from whence.store.append import Committed
from whence.store.doctor import examine, visit
from whence.store.durability import Durability
from whence.store.errors import StoreUnavailable
from whence.store.eventstore import open_store

ALL = {str(number) for number in range(AGGREGATES)}


class Watched(NamedTuple):
    """A primary, its replica, and the sentinel that watches both."""

    primary: PlainServer
    replica: PlainServer
    sentinel: Sentinel


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    with ExitStack() as stack:
        primary = stack.enter_context(plain_server(tmp_path / "primary"))
        replica = stack.enter_context(plain_server(tmp_path / "replica"))
        replicate(primary, replica)
        sentinel = stack.enter_context(sentinel_server(tmp_path / "sentinel", primary))
        yield Watched(primary, replica, sentinel)


async def until(condition: Callable[[], object], what: str) -> None:
    await asyncio.to_thread(eventually, condition, what)


async def test_a_store_is_found_by_the_name_of_its_service(watched: Watched) -> None:
    async with open_store(watched.sentinel.url_of()) as store:
        outcome = await store.append(append_of(account(), 0, Opened("ann")))
        replies = await store.replies_of_each(("PING",))

    assert isinstance(outcome, Committed)
    assert replies == {f"127.0.0.1:{watched.primary.port}": [b"PONG"]}


async def test_a_sentinel_that_is_away_is_passed_over(watched: Watched) -> None:
    away = f"127.0.0.1:{free_port()}"
    url = watched.sentinel.url_of().replace("://", f"://{away},")
    async with open_store(url) as store:
        assert await store.head(account()) == 0


async def test_a_service_that_nobody_knows_is_named(watched: Watched) -> None:
    with pytest.raises(StoreUnavailable, match="knows no service 'other'") as caught:
        async with open_store(watched.sentinel.url_of("other", user="ann:secret@")):
            pass
    assert "secret" not in str(caught.value)


async def test_sentinels_have_a_password_of_their_own(tmp_path: Path) -> None:
    with plain_server(tmp_path / "a") as primary, plain_server(tmp_path / "b") as replica:
        replicate(primary, replica)
        with sentinel_server(tmp_path / "sentinel", primary) as sentinel:
            sentinel.ask("ACL", "SETUSER", "app", "on", ">guard", "~*", "&*", "+@all")
            sentinel.ask("ACL", "SETUSER", "default", "off")
            with pytest.raises(StoreUnavailable, match=r"[Aa]uthentication required"):
                async with open_store(sentinel.url_of()):
                    pass
            options = "?sentinel_username=app&sentinel_password=guard"
            async with open_store(f"{sentinel.url_of()}{options}") as store:
                assert await store.head(account()) == 0


async def test_a_failover_on_request_loses_nothing(watched: Watched) -> None:
    primary, replica, sentinel = watched
    url = sentinel.url_of()
    async with (
        open_store(url, durability="replicated:1") as store,
        under_load(store) as load,
    ):
        await load.more(300)
        sentinel.ask("SENTINEL", "FAILOVER", "orders")
        await until(lambda: sentinel.primary_port == replica.port, "the failover")
        # The sentinel does that too, seconds later.
        await asyncio.to_thread(replicate, replica, primary)
        await load.more_of_each(ALL)
        async with asyncio.timeout(20):  # reads notice at their next look
            while list(await store.replies_of_each(("PING",))) != [f"127.0.0.1:{replica.port}"]:
                await asyncio.sleep(0.05)
    assert primary.ask("ROLE")[0] == b"slave"


async def test_a_killed_primary_loses_nothing_that_its_replica_acknowledged(
    watched: Watched, tmp_path: Path
) -> None:
    primary, replica, sentinel = watched
    url = sentinel.url_of()
    async with (
        open_store(url, durability="replicated:1") as store,
        under_load(store) as load,
    ):
        await load.more(300)
        primary.kill()
        await until(lambda: sentinel.primary_port == replica.port, "the failover")
        with plain_server(tmp_path / "primary", port=primary.port) as returned:
            await asyncio.to_thread(replicate, replica, returned)
            await load.more_of_each(ALL)
            await load.stop()
            await load.check()


async def test_a_primary_that_hangs_is_left_for_its_successor(watched: Watched) -> None:
    primary, replica, sentinel = watched
    async with open_store(sentinel.url_of(), durability="relaxed") as store:
        await store.append(append_of(account(), 0, Opened("ann")))
        await until(lambda: offset(primary) == offset(replica), "the replica")
        primary.pause()
        try:
            await until(lambda: sentinel.primary_port == replica.port, "the failover")
            outcome = await store.append(append_of(account(), 1, Deposited(1)))
        finally:
            primary.go_on()
    assert isinstance(outcome, Committed)


async def test_the_doctor_sees_the_failover(watched: Watched) -> None:
    async with visit(watched.sentinel.url_of()) as store:
        unsafe = {f.name: f for f in await examine(store, Durability.parse("fsync"))}
        safe = {f.name: f for f in await examine(store, Durability.parse("replicated:1"))}

    assert unsafe["failover"].verdict == "warning"
    assert "replicated:1" in unsafe["failover"].advice
    assert safe["failover"].verdict == "ok"


def offset(server: PlainServer) -> object:
    return server.ask("INFO", "replication")["master_repl_offset"]
