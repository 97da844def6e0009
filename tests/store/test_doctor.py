"""The doctor finds what could lose events, on servers that are set so, and changes nothing."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.store.domain import Deposited, account, append_of
from tests.store.plain_server import ask, plain_server, replicate, setting
from whence.store.diagnosis import diagnose, memory_finding
from whence.store.doctor import Finding, examine, visit
from whence.store.durability import FSYNC, RELAXED, Durability
from whence.store.embedded import EmbeddedServer
from whence.store.eventstore import open_store
from whence.store.memory_use import NODE_BYTES, measure
from whence.store.server_state import ServerState

CHECKS = [
    "server",
    "ACL user default",
    "appendonly",
    "appendfsync",
    "aof_last_write_status",
    "aof_last_bgrewrite_status",
    "rdb_last_bgsave_status",
    "aof_delayed_fsync",
    "maxmemory-policy",
    "evicted_keys",
    "maxmemory",
    "role",
    "replicas",
    "run_id",
    "stream-node-max-bytes",
    "events",
    "partitions",
]
SEEN_WITHOUT_INFO = {
    "ACL user default",
    "appendfsync",
    "stream-node-max-bytes",
    "events",
    "partitions",
}
STREAMS = 100
EVENTS_PER_STREAM = 5


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedServer]:
    with EmbeddedServer.start(tmp_path / "data") as server:
        yield server


async def findings(url: str, durability: Durability = FSYNC) -> dict[str, Finding]:
    async with visit(url) as store:
        return {finding.name: finding for finding in await examine(store, durability)}


async def fill(url: str) -> None:
    """Streams of five events of about 200 bytes."""
    async with open_store(url, durability="relaxed") as store:
        for version in range(EVENTS_PER_STREAM):
            await store.append_many(
                [
                    append_of(account(str(number)), version, Deposited(1, "x" * 180))
                    for number in range(STREAMS)
                ]
            )


def state(kind: str, version: str, *, limited: bool | None, aof: str = "1") -> ServerState:
    info = {f"{kind}_version": version, "aof_enabled": aof}
    return ServerState(info, {}, limited)


async def test_the_embedded_server_is_well(server: EmbeddedServer) -> None:
    await fill(server.url)

    found = await findings(server.url)

    assert list(found) == CHECKS
    assert {name: f for name, f in found.items() if f.verdict != "ok" or f.advice} == {}
    assert found["server"].found.startswith("valkey ")
    assert found["events"].found == f"{STREAMS * EVENTS_PER_STREAM:,}"
    assert found["partitions"].found == "64"
    assert len(found["run_id"].found) == 40


@pytest.mark.parametrize(
    ("name", "value", "durability", "verdict"),
    [
        ("appendonly", "no", FSYNC, "danger"),
        ("appendonly", "no", RELAXED, "warning"),
        ("appendfsync", "everysec", FSYNC, "danger"),
        ("appendfsync", "everysec", RELAXED, "warning"),
        ("maxmemory-policy", "allkeys-lru", FSYNC, "danger"),
        ("maxmemory-policy", "allkeys-lru", RELAXED, "danger"),
        ("maxmemory-policy", "volatile-ttl", RELAXED, "warning"),
    ],
)
async def test_a_setting_that_loses_events_is_named_with_the_line_to_set(
    server: EmbeddedServer, name: str, value: str, durability: Durability, verdict: str
) -> None:
    setting(server, name, value)

    found = (await findings(server.url, durability))[name]

    assert (found.found, found.verdict) == (value, verdict)
    assert f"CONFIG SET {name} " in found.advice


async def test_evicted_keys_are_a_danger_long_after_the_policy_was_mended(
    server: EmbeddedServer,
) -> None:
    ask(server.url, "SET", "victim", "x" * 100_000)
    setting(server, "maxmemory-policy", "allkeys-random")
    setting(server, "maxmemory", "1")
    setting(server, "maxmemory", "0")
    setting(server, "maxmemory-policy", "noeviction")

    found = await findings(server.url)

    assert found["maxmemory-policy"].verdict == "ok"
    assert found["evicted_keys"].verdict == "danger"


async def test_a_server_that_is_nearly_full_is_a_danger(server: EmbeddedServer) -> None:
    setting(server, "maxmemory", "1000")
    found = (await findings(server.url))["maxmemory"]
    assert found.verdict == "danger"
    assert "raise maxmemory" in found.advice


@pytest.mark.parametrize(
    ("rules", "unseen"),
    [
        (["-config"], {"appendfsync", "stream-node-max-bytes"}),
        (["-info"], {*CHECKS} - SEEN_WITHOUT_INFO),
        (["-memory"], {"stream-node-max-bytes"}),
    ],
)
async def test_what_this_user_may_not_see_is_said_and_not_guessed(
    server: EmbeddedServer, rules: list[str], unseen: set[str]
) -> None:
    await fill(server.url)
    ask(server.url, "ACL", "SETUSER", "app", "on", ">secret", "~*", "+@all", *rules)

    found = await findings(server.url.replace("unix://", "unix://app:secret@"))

    hidden = {name for name, f in found.items() if f.found.startswith("cannot see")}
    assert hidden == unseen
    assert not any(f.verdict == "danger" for f in found.values())


async def test_a_replica_is_a_danger_and_so_are_missing_replicas(tmp_path: Path) -> None:
    with plain_server(tmp_path / "a") as primary, plain_server(tmp_path / "b") as replica:
        replicate(primary, replica)
        enough = await findings(primary.url, Durability("replicated", 1))
        too_few = await findings(primary.url, Durability("replicated", 2))
        wrong = await findings(replica.url)

    assert (enough["role"].found, enough["role"].verdict) == ("primary", "ok")
    assert (enough["replicas"].found, enough["replicas"].verdict) == ("1 in step", "ok")
    assert too_few["replicas"].found == "1 in step, replicated:2 needs 2"
    assert too_few["replicas"].verdict == "danger"
    assert (wrong["role"].found, wrong["role"].verdict) == ("replica", "danger")


async def test_it_writes_nothing_and_sees_a_server_that_refuses_writes(
    server: EmbeddedServer,
) -> None:
    assert (await findings(server.url))["partitions"].found == "no store here yet"
    assert ask(server.url, "DBSIZE") == 0
    await fill(server.url)
    setting(server, "min-replicas-to-write", "1")
    assert (await findings(server.url))["events"].found == f"{STREAMS * EVENTS_PER_STREAM:,}"


async def test_memory_is_said_to_keep_nothing(namespace: str) -> None:
    found = await findings(f"memory://{namespace}")
    assert list(found) == ["server", "events", "partitions"]
    assert "nothing is kept" in found["server"].advice


async def test_what_smaller_stream_nodes_would_save_is_what_they_save(
    tmp_path: Path,
) -> None:
    memory: dict[int, float] = {}
    promised = 0.0
    for node_bytes in (4096, NODE_BYTES):
        with plain_server(
            tmp_path / str(node_bytes), "--stream-node-max-bytes", str(node_bytes)
        ) as server:
            await fill(server.url)
            async with visit(server.url) as store:
                use = await measure(store)
            memory[node_bytes] = use.bytes_per_event
            found = (await findings(server.url))["stream-node-max-bytes"]
        if node_bytes == NODE_BYTES:
            assert found.verdict == "ok"
        else:
            promised = use.saved_per_event(node_bytes)
            assert found.verdict == "warning"
            assert f"CONFIG SET stream-node-max-bytes {NODE_BYTES} would save" in found.advice

    saved = memory[4096] - memory[NODE_BYTES]
    assert promised == pytest.approx(saved, rel=0.3)


@pytest.mark.parametrize(
    ("kind", "version", "limited", "aof", "verdict"),
    [
        ("redis", "7.0.15", True, "1", "danger"),
        ("redis", "8.4.0", True, "1", "danger"),
        ("redis", "8.4.1", True, "1", "warning"),
        ("redis", "7.0.15", True, "0", "ok"),
        ("redis", "7.0.15", False, "1", "ok"),
        ("redis", "7.0.15", None, "1", "warning"),
        ("valkey", "8.0.0", True, "1", "danger"),
        ("unknown", "1", True, "1", "warning"),
        ("valkey", "9.1.2", True, "1", "ok"),
        ("valkey", "9.1.2", None, "1", "ok"),
    ],
)
def test_a_limited_default_user_is_a_danger_where_it_drops_appends_at_a_restart(
    kind: str, version: str, limited: bool | None, aof: str, verdict: str
) -> None:
    (found,) = [
        f
        for f in diagnose(state(kind, version, limited=limited, aof=aof), FSYNC)
        if f.name == "ACL user default"
    ]
    assert found.verdict == verdict


async def test_a_limited_default_user_is_seen_and_this_valkey_loses_nothing_at_a_restart(
    tmp_path: Path,
) -> None:
    users = [
        *("--user", "default", "on", "nopass", "~*", "&*", "-@all", "+ping"),
        *("--user", "app", "on", ">secret", "~*", "&*", "+@all"),
    ]
    with plain_server(tmp_path / "data", *users) as first:
        url = first.url.replace("//", "//app:secret@")
        async with open_store(url) as store:
            await store.append(append_of(account(), 0, Deposited(1), Deposited(2), Deposited(3)))
        found = (await findings(url))["ACL user default"]
        first.kill()
        with plain_server(tmp_path / "data", *users, port=first.port):
            async with open_store(url) as store:
                assert await store.head(account()) == 3

    assert (found.found, found.verdict) == ("is off or limited", "ok")


@pytest.mark.parametrize(
    ("kind", "version", "verdict"),
    [("redis", "6.2.14", "danger"), ("redis", "7.0.0", "ok"), ("valkey", "8.1.0", "ok")],
)
def test_a_server_too_old_for_the_scripts_is_a_danger(
    kind: str, version: str, verdict: str
) -> None:
    found = diagnose(state(kind, version, limited=False), FSYNC)[0]
    assert (found.name, found.verdict) == ("server", verdict)


@pytest.mark.parametrize(
    ("field", "value", "verdict"),
    [
        ("aof_last_write_status", "err", "danger"),
        ("aof_last_bgrewrite_status", "err", "danger"),
        ("rdb_last_bgsave_status", "err", "warning"),
        ("aof_delayed_fsync", "3", "warning"),
    ],
)
def test_a_disk_in_trouble_is_seen(field: str, value: str, verdict: str) -> None:
    seen = ServerState({field: value}, {}, default_user_limited=False)
    (found,) = [f for f in diagnose(seen, FSYNC) if f.name == field]
    assert (found.found, found.verdict) == (value, verdict)
    assert found.advice


async def test_an_event_has_a_price_where_the_setting_is_not_shown(
    server: EmbeddedServer,
) -> None:
    await fill(server.url)
    async with visit(server.url) as store:
        use = await measure(store)
    found = memory_finding(use, ServerState({}, {}, None))
    assert found.found.startswith("cannot see; ")
    assert found.found.endswith(" bytes per event")
