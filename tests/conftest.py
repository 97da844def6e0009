"""Stores for the tests: fakeredis for speed, a real Valkey of this test process for truth."""

import itertools
import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.store.cluster_server import TestCluster, cluster_server
from tests.store.servers import other_server, redis, valkey8
from whence.store.embedded import EmbeddedServer
from whence.store.eventstore import EventStore, open_store
from whence.testing.conformance.keyspace import strange_keys

# Hypothesis measures time by default; a test that is slow on a busy machine is no wrong test.
settings.register_profile("whence", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("whence")

_numbers = itertools.count()


@pytest.fixture(scope="session")
def valkey() -> Iterator[EmbeddedServer]:
    """One embedded Valkey per test process; each test has a namespace of its own on it."""
    with (
        tempfile.TemporaryDirectory(prefix="whence-test-") as folder,
        EmbeddedServer.start(Path(folder) / "data") as server,
    ):
        yield server


@pytest.fixture(scope="session")
def cluster() -> Iterator[TestCluster]:
    """One Cluster of three primaries per test process, made when the first test needs it."""
    with (
        tempfile.TemporaryDirectory(prefix="whence-test-") as folder,
        cluster_server(Path(folder)) as cluster,
    ):
        yield cluster


@pytest.fixture
def cluster_url(cluster: TestCluster) -> str:
    return cluster.url


@pytest.fixture(scope="session")
def valkey8_url() -> Iterator[str]:
    binary = valkey8()
    with (
        tempfile.TemporaryDirectory(prefix="whence-test-") as folder,
        other_server(binary, Path(folder)) as url,
    ):
        yield url


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    binary = redis()
    with (
        tempfile.TemporaryDirectory(prefix="whence-test-") as folder,
        other_server(binary, Path(folder)) as url,
    ):
        yield url


@pytest.fixture
def namespace() -> str:
    return f"t-{os.getpid()}-{next(_numbers)}"


# Which servers the tests of the store run on: memory, valkey, valkey8, redis.
SERVERS = os.environ.get("WHENCE_TEST_SERVERS", "memory,valkey").split(",")


@pytest.fixture(params=SERVERS)
def url(request: pytest.FixtureRequest, namespace: str) -> str:
    """A server's URL: the test runs once on each kind."""
    if request.param == "memory":
        return f"memory://{namespace}"
    found: str = request.getfixturevalue(f"{request.param}_url")
    return found


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
    replies = await store.replies_of_each(("KEYS", f"*{store.keys.namespace}:*"))
    strange = strange_keys([key for (keys,) in replies.values() for key in keys])
    assert not strange, f"keys outside the grammar: {strange}"
