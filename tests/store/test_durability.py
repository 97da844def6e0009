"""A durability by name is kept, or refused with a sentence: on servers that are set otherwise."""

import asyncio
from collections.abc import Iterator
from contextlib import AbstractContextManager, suppress
from pathlib import Path

import pytest

from tests.store.domain import Deposited, Opened, account, append_of
from tests.store.plain_server import PATIENCE, PlainServer, ask, plain_server, replicate, setting
from whence.store.address import Address
from whence.store.append import Append, Committed, Duplicate, Outcome
from whence.store.durability import FSYNC, RELAXED, Durability, Promise
from whence.store.embedded import EmbeddedServer
from whence.store.errors import (
    DurabilityRefused,
    InvalidSetting,
    OutcomeUnknown,
    StoreMismatch,
)
from whence.store.eventstore import EventStore, open_store
from whence.store.identity import Identity
from whence.store.keys import Keys

REPLICATED = Durability("replicated", 1)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedServer]:
    with EmbeddedServer.start(tmp_path / "data") as server:
        yield server


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[PlainServer, PlainServer]]:
    """A primary and its replica."""
    with (
        plain_server(tmp_path / "primary") as primary,
        plain_server(tmp_path / "replica") as replica,
    ):
        replicate(primary, replica)
        yield primary, replica


async def opens(url: str, durability: str = "fsync", *, asserted: bool = False) -> None:
    async with open_store(url, durability=durability, assert_durability=asserted) as store:
        await store.append(append_of(account(), 0, Opened("ann"), command="c-1"))


def limited(server: EmbeddedServer, *rules: str) -> str:
    """The URL of a user who may do everything but what the rules take away."""
    ask(server.url, "ACL", "SETUSER", "app", "on", ">secret", "~*", "+@all", *rules)
    return server.url.replace("unix://", "unix://app:secret@")


@pytest.mark.parametrize("text", ["fsync", "relaxed", "replicated:1", "replicated:9"])
def test_a_durability_reads_as_it_is_written(text: str) -> None:
    assert str(Durability.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    ["", "always", "FSYNC", "replicated", "replicated:", "replicated:0", "replicated:10", "3"],
)
def test_another_name_is_refused(text: str) -> None:
    with pytest.raises(InvalidSetting, match="use fsync, relaxed, or replicated:N") as caught:
        Durability.parse(text)
    assert caught.value.field == "durability"


async def test_the_embedded_server_keeps_fsync(server: EmbeddedServer) -> None:
    await opens(server.url)


async def test_memory_is_relaxed_by_nature_and_opens_without_a_word(namespace: str) -> None:
    async with open_store(f"memory://{namespace}", durability="fsync") as store:
        assert store.durability == RELAXED


@pytest.mark.parametrize(
    ("name", "value", "needed"),
    [
        ("appendfsync", "everysec", "always"),
        ("appendonly", "no", "yes"),
        ("maxmemory-policy", "allkeys-lru", "noeviction"),
    ],
)
async def test_a_server_that_keeps_less_than_fsync_is_refused_with_the_line_to_set(
    server: EmbeddedServer, name: str, value: str, needed: str
) -> None:
    setting(server, name, value)

    with pytest.raises(DurabilityRefused) as caught:
        await opens(server.url, asserted=True)

    assert f"{name} is {value}" in str(caught.value)
    assert f"`CONFIG SET {name} {needed}`" in str(caught.value)
    assert "WHENCE_DURABILITY=relaxed" in str(caught.value)
    assert isinstance(caught.value, StoreMismatch)
    assert ask(server.url, "DBSIZE") == 0, "nothing may be written to a server that is refused"
    setting(server, name, needed)
    await opens(server.url)


async def test_relaxed_takes_the_server_as_it_is(server: EmbeddedServer) -> None:
    setting(server, "appendfsync", "everysec")
    setting(server, "appendonly", "no")
    await opens(server.url, "relaxed")


@pytest.mark.parametrize("rule", ["-config", "-info"])
async def test_what_the_server_does_not_show_has_to_be_asserted(
    server: EmbeddedServer, rule: str
) -> None:
    url = limited(server, rule)

    with pytest.raises(DurabilityRefused, match=r"may not see .*WHENCE_ASSERT_DURABILITY=1"):
        await opens(url)

    await opens(url, asserted=True)


async def test_an_assertion_does_not_outweigh_what_the_server_shows(
    server: EmbeddedServer,
) -> None:
    setting(server, "appendonly", "no")

    with pytest.raises(DurabilityRefused, match="appendonly is no"):
        await opens(limited(server, "-config"), asserted=True)


async def test_a_server_that_comes_back_with_less_is_refused_before_anything_is_written(
    tmp_path: Path,
) -> None:
    with plain_server(tmp_path / "data") as first:
        async with open_store(first.url) as store:
            await store.append(append_of(account(), 0, Opened("ann")))
            first.kill()
            with again(first, tmp_path / "data", "--appendfsync", "everysec") as second:
                assert await store.head(account()) == 1  # by now the end of the first is known
                with pytest.raises(DurabilityRefused, match="appendfsync is everysec"):
                    await store.append(append_of(account(), 1, Deposited(1)))
                assert await store.head(account()) == 1

                second.ask("CONFIG", "SET", "appendfsync", "always")
                outcome = await store.append(append_of(account(), 1, Deposited(1)))
                assert isinstance(outcome, Committed)


async def test_an_append_that_was_under_way_then_is_unknown_and_not_refused(
    tmp_path: Path,
) -> None:
    with plain_server(tmp_path / "data") as first:
        async with open_store(first.url) as store:
            append = append_of(account(), 0, Opened("ann"))
            await store.append(append)
            first.pause()
            under_way = asyncio.create_task(store.append(append_of(account(), 1, Deposited(1))))
            await asyncio.sleep(0)
            first.kill()
            with (
                again(first, tmp_path / "data", "--appendfsync", "everysec"),
                pytest.raises(OutcomeUnknown, match="appendfsync is everysec"),
            ):
                await under_way


async def test_replicated_needs_its_replicas_at_the_start(
    pair: tuple[PlainServer, PlainServer],
) -> None:
    primary, _ = pair
    await opens(primary.url, "replicated:1")
    with pytest.raises(DurabilityRefused, match="replicas in step with it: 1; "):
        await opens(primary.url, "replicated:2")


async def test_replicated_needs_a_log_of_any_kind(pair: tuple[PlainServer, PlainServer]) -> None:
    primary, _ = pair
    primary.ask("CONFIG", "SET", "appendfsync", "everysec")
    await opens(primary.url, "replicated:1")
    primary.ask("CONFIG", "SET", "appendonly", "no")
    with pytest.raises(DurabilityRefused, match="appendonly is no"):
        await opens(primary.url, "replicated:1")


async def test_replicated_needs_the_permission_to_wait(
    pair: tuple[PlainServer, PlainServer],
) -> None:
    primary, _ = pair
    primary.ask("ACL", "SETUSER", "app", "on", ">secret", "~*", "+@all", "-wait")
    with pytest.raises(DurabilityRefused, match=r"does not wait for replicas .*NOPERM"):
        await opens(primary.url.replace("//", "//app:secret@"), "replicated:1")


async def test_an_acknowledged_append_is_on_the_replica(
    pair: tuple[PlainServer, PlainServer],
) -> None:
    primary, replica = pair
    async with open_store(primary.url, durability="replicated:1") as store:
        for version in range(20):
            await store.append(append_of(account(), version, Deposited(version)))
            key = store.keys.stream(account())
            assert replica.ask("XLEN", key) == version + 1


async def test_too_few_acknowledgements_are_unknown_until_the_replica_has_the_events(
    pair: tuple[PlainServer, PlainServer],
) -> None:
    primary, replica = pair
    store = impatient(primary.url)
    append = append_of(account(), 0, Opened("ann"), Deposited(5))
    replica.pause()
    try:
        with pytest.raises(OutcomeUnknown, match="0 of 1 replicas had it within"):
            await store.append(append)
        # The server knows the command by now: its answer alone proves nothing of the replica.
        with pytest.raises(OutcomeUnknown, match="0 of 1 replicas had it within"):
            await store.append(append)
    finally:
        replica.go_on()

    outcome = await resolved(store, append)

    assert isinstance(outcome, Duplicate)
    assert [record.version for record in outcome.records] == [1, 2]
    assert [record.version async for record in store.read(account())] == [1, 2]
    assert replica.ask("XLEN", store.keys.stream(account())) == 2
    await store.close()


async def test_a_script_that_the_server_has_forgotten_waits_for_the_replica_as_well(
    pair: tuple[PlainServer, PlainServer],
) -> None:
    primary, replica = pair
    store = impatient(primary.url)
    # A busy disk may keep the replica from it for longer than this store waits.
    await resolved(store, append_of(account(), 0, Opened("ann")))
    primary.ask("SCRIPT", "FLUSH")
    replica.pause()
    try:
        with pytest.raises(OutcomeUnknown):
            await store.append(append_of(account(), 1, Deposited(5)))
    finally:
        replica.go_on()
    await store.close()


async def test_without_replicas_no_time_is_spent_on_them() -> None:
    assert FSYNC.wait is None
    assert RELAXED.wait is None
    assert REPLICATED.wait is not None


def impatient(url: str) -> EventStore:
    """A store that gives up at once, and needs no replica to be opened."""
    promise = Promise(REPLICATED)
    keys, identity = Keys("t", 8), Identity("uuid", 8)
    return EventStore(Address.parse(url), keys, identity, promise=promise, resolve_for=0.0)


async def resolved(store: EventStore, append: Append) -> Outcome:
    """Repeat an append until its outcome is known."""
    async with asyncio.timeout(PATIENCE):
        while True:
            with suppress(OutcomeUnknown):
                return await store.append(append)


def again(server: PlainServer, folder: Path, *settings: str) -> AbstractContextManager[PlainServer]:
    """Another server on the data and the port of one that has ended."""
    return plain_server(folder, *settings, port=server.port)
