"""Databases for SQL views, a file and a PostgreSQL of this process; a worker that has parked."""

import itertools
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psycopg
import pytest

from bench.peers.peer import NotHere
from bench.peers.postgres import USER, postgres
from tests.projections.domain import Sent, Tally, Weighed, record
from tests.projections.hands import STREAM, Hands, tally
from whence.store.eventstore import EventStore

_numbers = itertools.count()


@pytest.fixture(scope="session")
def postgres_folder() -> Iterator[Path]:
    """Where a PostgreSQL listens; one per test process, made when the first test needs it."""
    with tempfile.TemporaryDirectory(prefix="whence-test-") as name:
        folder = Path(name)
        try:
            server = postgres(folder)
            server.__enter__()
        except NotHere as error:
            pytest.skip(f"no PostgreSQL: {error}")
        try:
            yield folder
        finally:
            server.__exit__(None, None, None)


@pytest.fixture
def postgres_url(postgres_folder: Path) -> str:
    """A database of its own."""
    name = f"views_{next(_numbers)}"
    with psycopg.connect(
        f"host={postgres_folder} user={USER} dbname=postgres", autocommit=True
    ) as c:
        c.execute(f"CREATE DATABASE {name}".encode())
    return f"postgresql://{USER}@/{name}?host={postgres_folder}"


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'views.db'}"


@pytest.fixture(params=["sqlite", "postgres"])
def sql_url(request: pytest.FixtureRequest) -> str:
    """A database's URL: the test runs once on each kind."""
    found: str = request.getfixturevalue(f"{request.param}_url")
    return found


@pytest.fixture
async def hands(store: EventStore, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Hands]:
    """A worker that has parked the three events of the parcel."""
    monkeypatch.setattr(Tally, "broken", frozenset({STREAM.id}))
    await record(store, STREAM, Sent("Riga"), Weighed(1), Weighed(2))
    hands = Hands(store, tally)
    await hands.follow()
    yield hands
    await hands.close()
