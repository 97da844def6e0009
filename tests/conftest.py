"""Stores for the tests: fakeredis for speed, a real Valkey of this test process for truth."""

import itertools
import os
import re
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from whence.store.embedded import EmbeddedServer
from whence.store.eventstore import EventStore, open_store

# Hypothesis measures time by default; a test that is slow on a busy machine is no wrong test.
settings.register_profile("whence", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("whence")

_numbers = itertools.count()

# Every key that grammar v1 allows; a test that leaves another one behind fails.
_KEYS = re.compile(
    rb"[a-z0-9-]+:identity"
    rb"|\{[a-z0-9-]+:\d{3}\}:(feed|(e|snap):[\w.~-]+:[\w.~-]+|cmd:[\w.~-]+:[\w.~-]+:[\w.~-]+|(lease|cp|view|parked|skipped|asked):[\w.~-]+)"
)


@pytest.fixture(scope="session")
def valkey() -> Iterator[EmbeddedServer]:
    """One embedded Valkey per test process; each test has a namespace of its own on it."""
    with (
        tempfile.TemporaryDirectory(prefix="whence-test-") as folder,
        EmbeddedServer.start(Path(folder) / "data") as server,
    ):
        yield server


@pytest.fixture
def namespace() -> str:
    return f"t-{os.getpid()}-{next(_numbers)}"


@pytest.fixture(params=["memory", "valkey"])
def url(request: pytest.FixtureRequest, namespace: str) -> str:
    """A server's URL: the test runs once on each kind."""
    if request.param == "memory":
        return f"memory://{namespace}"
    server: EmbeddedServer = request.getfixturevalue("valkey")
    return server.url


@pytest.fixture
def valkey_url(valkey: EmbeddedServer) -> str:
    return valkey.url


@pytest.fixture
async def store(url: str, namespace: str) -> AsyncIterator[EventStore]:
    async with open_store(url, namespace=namespace, partitions=8) as store:
        yield store
        await check_keys(store)


async def check_keys(store: EventStore) -> None:
    """Fail on a key outside the grammar: it would be forgotten by backups, ACLs and Cluster."""
    found: list[bytes] = await store.ask("KEYS", f"*{store.keys.namespace}:*")
    strange = [key for key in found if _KEYS.fullmatch(key) is None]
    assert not strange, f"keys outside the grammar: {strange}"
