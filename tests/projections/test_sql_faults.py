"""What goes wrong under a SQL view, and what it is like afterwards."""

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import anyio
import pytest
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.exc import DBAPIError

from tests.faults.proxy import proxy_to
from tests.projections.domain import (
    QUICK,
    Sent,
    Weighed,
    parcel,
    record,
    record_many,
    until,
    working,
)
from tests.projections.sqldomain import CityTable, TallyTable, only, rows
from whence.projections.advance import Advance
from whence.projections.database import Session, parse_url
from whence.projections.lease import Lease, Leases
from whence.projections.ledger import ledger_of
from whence.projections.parked import parked_sequences
from whence.projections.projection import Projector
from whence.projections.status import status, wait_until_caught_up
from whence.sql import Database, open_database
from whence.store.embedded import EmbeddedServer
from whence.store.errors import LeaseLost
from whence.store.eventstore import EventStore, open_store

ROOT = Path(__file__).parents[2]
TALLIES = "SELECT id, seen, chain FROM tallies ORDER BY id"

tally_model = only(TallyTable)
tally = tally_model.projector("tally-table")


def chain(versions: int) -> int:
    """What a tally is after the first events of a parcel, each of them once and in order."""
    found = 0
    for version in range(1, versions + 1):
        found = found * 3 + version
    return found


async def expected(store: EventStore, names: list[str]) -> list[tuple[str, int, int]]:
    heads = {name: await store.head(parcel(name)) for name in names}
    return sorted((name, head, chain(head)) for name, head in heads.items())


def change(url: str, statement: str) -> None:
    engine = create_engine(parse_url(url))
    with engine.begin() as connection:
        connection.execute(text(statement))
    engine.dispose()


async def until_rows(url: str, query: str, wanted: list[tuple[Any, ...]]) -> None:
    """Return when plain SQL finds these rows."""
    found: list[tuple[Any, ...]] = []
    with anyio.move_on_after(20):
        while found != wanted:
            await anyio.sleep(0.02)
            with suppress(DBAPIError):  # there may be no such table for a moment
                found = rows(url, query)
    assert found == wanted


async def until_logged(caplog: pytest.LogCaptureFixture, words: str) -> None:
    with anyio.fail_after(30):
        while words not in caplog.text:
            await anyio.sleep(0.02)


class Hands:
    """The steps of a worker, one by one."""

    def __init__(self, store: EventStore, projection: Projector, owner: str) -> None:
        wire = store.address.wire()
        self._store = store
        self._wire = wire
        self.leases = Leases(store, projection.name, owner, 60_000, wire)
        self.ledger = ledger_of(store, projection, wire)
        self._advance = Advance(store, projection, self.ledger)

    async def take(self, number: int, *, force: bool = False) -> Lease:
        (lease,) = await self.leases.acquire([number], force=force)
        assert not await self.ledger.take([lease])
        return lease

    async def advance(self, lease: Lease) -> object:
        """None, or what went wrong."""
        pointers = await self._store.pointers(lease.partition, after=lease.position)
        _, errors = await self._advance.apply([(lease, pointers)])
        return errors.get(lease.partition)

    async def close(self) -> None:
        await self.ledger.close()
        await self._wire.close()


@asynccontextmanager
async def two(store: EventStore, database: Database) -> AsyncGenerator[tuple[Hands, Hands]]:
    projection = tally.at(database)
    first, second = (Hands(store, projection, name) for name in ("first", "second"))
    yield first, second
    await first.close()
    await second.close()


class TestAZombie:
    """A worker that wakes up after another one has taken its partition over."""

    async def test_changes_nothing(self, store: EventStore, sql_url: str) -> None:
        number = store.keys.partition(parcel(1))
        await record(store, parcel(1), Sent("Riga"))
        async with open_database(sql_url) as database, two(store, database) as (old, new):
            zombie = await old.take(number)
            lease = await new.take(number, force=True)
            assert isinstance(await old.advance(zombie), LeaseLost)
            assert rows(sql_url, TALLIES) == []
            assert await new.advance(lease) is None
            assert isinstance(await old.advance(zombie), LeaseLost)
        assert rows(sql_url, TALLIES) == [("1", 1, 1)]
        assert (await status(store, tally))[number].position == 1

    async def test_is_stopped_by_the_database_alone(self, store: EventStore, sql_url: str) -> None:
        """Whatever Redis says: it may have lost its memory of who has the partition."""
        number = store.keys.partition(parcel(1))
        await record(store, parcel(1), Sent("Riga"))
        async with open_database(sql_url) as database, two(store, database) as (old, new):
            zombie = await old.take(number)
            lease = await new.take(number, force=True)
            key = store.keys.checkpoint(number, tally.name)
            await store.ask("HSET", key, "epoch", zombie.epoch)
            assert isinstance(await old.advance(zombie), LeaseLost)
            assert rows(sql_url, TALLIES) == []
            await store.ask("HSET", key, "epoch", lease.epoch)
            assert await new.advance(lease) is None
        assert rows(sql_url, TALLIES) == [("1", 1, 1)]

    async def test_of_a_transaction_that_was_half_done_is_ended(
        self, store: EventStore, postgres_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """PostgreSQL lets go of its rows by itself, so they are not locked for ever."""
        monkeypatch.setattr("whence.projections.database.IDLE_MS", 200)
        number = store.keys.partition(parcel(1))
        await record(store, parcel(1), Sent("Riga"))
        async with open_database(postgres_url) as database, two(store, database) as (old, new):
            await old.take(number)
            with database.engine.connect() as paused:
                paused.execute(text("UPDATE whence_checkpoint SET anchor = 'half done'"))
                lease = await new.take(number, force=True)
                assert await new.advance(lease) is None
                paused.invalidate()
        assert rows(postgres_url, TALLIES) == [("1", 1, 1)]


class TestAKilledWorker:
    async def test_kill_9_leaves_no_event_out_and_applies_none_twice(
        self, valkey: EmbeddedServer, namespace: str, sql_url: str
    ) -> None:
        names = [str(n) for n in range(1_200)]
        program = [sys.executable, "-m", "tests.projections.sql_worker_process"]
        async with open_store(valkey.url, namespace=namespace, partitions=8) as store:
            await record_many(store, [parcel(n) for n in names], Sent("Riga", 2))
            for name in names[::10]:
                await record(store, parcel(name), Weighed(1), Weighed(2))
            for target in (100, 400, 700):
                command = [*program, store.address.url, namespace, sql_url]
                with subprocess.Popen(command, cwd=ROOT) as process:
                    await until(
                        store,
                        lambda found, t=target: sum(x.position for x in found) >= t,  # type: ignore[misc]
                        tally,
                    )
                    os.kill(process.pid, signal.SIGKILL)
            begun = sum(x.position for x in await status(store, tally))
            assert begun < 1_440, "the last worker was not killed in the middle"
            both = only(TallyTable, CityTable)
            async with open_database(sql_url) as database, working(store, both.at(database), QUICK):
                for projection in both.projections.values():
                    await wait_until_caught_up(store, projection, timeout_s=60)
            assert rows(sql_url, TALLIES) == await expected(store, names)
        assert rows(sql_url, "SELECT city, parcels, grams FROM cities") == [("Riga", 1_200, 2_400)]


class TestALostReply:
    @pytest.mark.parametrize("mark", [b":feed", b"committed", b"mirrored", b"acquired"])
    async def test_neither_loses_nor_repeats_an_event(
        self, valkey: EmbeddedServer, namespace: str, sqlite_url: str, mark: bytes
    ) -> None:
        names = [str(n) for n in range(50)]
        async with (
            proxy_to(valkey.url) as proxy,
            open_store(valkey.url, namespace=namespace, partitions=4) as direct,
            open_store(proxy.url, namespace=namespace) as store,
            open_database(sqlite_url) as database,
        ):
            chances = iter([True, False, False, True, False, True])
            proxy.lose_reply = lambda chunk: mark in chunk and next(chances, False)
            async with working(store, tally_model.at(database)):
                await record_many(direct, [parcel(n) for n in names], Sent("Riga"))
                for name in names[::5]:
                    await record(direct, parcel(name), Weighed(1))
                await wait_until_caught_up(direct, tally, timeout_s=60)
            assert proxy.lost >= 1
            assert rows(sqlite_url, TALLIES) == await expected(direct, names)

    async def test_of_the_database_s_commit_is_found_out(
        self, store: EventStore, sql_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It was committed, and the worker is told that the connection is gone."""
        names = [str(n) for n in range(30)]
        chances = iter([False, True, False, True, False, True])
        lost: list[Any] = []
        run = vars(Session)["_run"]

        def lose(self: Session, work: Callable[[Connection], Any]) -> Any:
            answer = run(self, work)
            if next(chances, False):
                lost.append(answer)
                raise sqlite3.OperationalError("the answer is lost")
            return answer

        await record_many(store, [parcel(n) for n in names], Sent("Riga"))
        async with open_database(sql_url) as database:
            monkeypatch.setattr(Session, "_run", lose)
            async with working(store, tally_model.at(database)):
                for name in names:
                    await record(store, parcel(name), Weighed(1))
                await wait_until_caught_up(store, tally, timeout_s=30)
        assert len(lost) == 3
        assert rows(sql_url, TALLIES) == await expected(store, names)


class TestTheDatabase:
    async def test_is_waited_for_while_another_program_writes(
        self, store: EventStore, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("whence.projections.database.LOCK_MS", 50)
        await record(store, parcel(1), Sent("Riga"))
        file = sqlite_url.removeprefix("sqlite:///")
        async with open_database(sqlite_url) as database, working(store, tally_model.at(database)):
            await wait_until_caught_up(store, tally)
            other = sqlite3.connect(file, isolation_level=None)
            other.execute("BEGIN IMMEDIATE")
            await record(store, parcel(1), Weighed(1))
            with pytest.raises(TimeoutError):
                await wait_until_caught_up(store, tally, timeout_s=0.3)
            other.execute("ROLLBACK")
            other.close()
            await wait_until_caught_up(store, tally, timeout_s=30)
        assert rows(sqlite_url, TALLIES) == [("1", 2, chain(2))]

    async def test_may_cut_its_connections(self, store: EventStore, postgres_url: str) -> None:
        await record(store, parcel(1), Sent("Riga"))
        async with (
            open_database(postgres_url) as database,
            working(store, tally_model.at(database)),
        ):
            for n in range(3):
                await wait_until_caught_up(store, tally, timeout_s=30)
                change(
                    postgres_url,
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND pid <> pg_backend_pid()",
                )
                await record(store, parcel(1), Weighed(n))
            await wait_until_caught_up(store, tally, timeout_s=30)
        assert rows(postgres_url, TALLIES) == [("1", 4, chain(4))]

    async def test_that_only_reads_for_a_while_is_waited_for(
        self, store: EventStore, postgres_url: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        """As after a failover to a standby, or where the disk is full and somebody has seen it."""
        bound = tally_model.at
        await record(store, parcel(1), Sent("Riga"))
        name = parse_url(postgres_url).database
        async with open_database(postgres_url) as database, working(store, bound(database)):
            await wait_until_caught_up(store, tally, timeout_s=30)
            for mode in ("on", "off"):
                change(
                    postgres_url,
                    "SET TRANSACTION READ WRITE; "
                    f"ALTER DATABASE {name} SET default_transaction_read_only = {mode}; "
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND pid <> pg_backend_pid()",
                )
                if mode == "on":
                    await record(store, parcel(1), Weighed(1))
                    await until_logged(caplog, "in a read-only transaction")
            await wait_until_caught_up(store, tally, timeout_s=30)
            assert await parked_sequences(store, tally) == []
        assert rows(postgres_url, TALLIES) == [("1", 2, chain(2))]

    async def test_with_damaged_pages_is_no_event_s_fault(
        self, store: EventStore, sqlite_url: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        file = Path(sqlite_url.removeprefix("sqlite:///"))
        await record(store, parcel(1), Sent("Riga"))
        await self._catch_up(store, sqlite_url)
        whole = file.read_bytes()
        pages = rows(sqlite_url, "SELECT rootpage FROM sqlite_master WHERE tbl_name = 'tallies__1'")
        ((size,),) = rows(sqlite_url, "PRAGMA page_size")
        with file.open("r+b") as damaged:
            for (page,) in pages:
                damaged.seek((page - 1) * size)
                damaged.write(b"\xff" * size)
        await record(store, parcel(1), Weighed(1))
        async with open_database(sqlite_url) as database, working(store, tally_model.at(database)):
            await until_logged(caplog, "malformed")
        assert await parked_sequences(store, tally) == []
        file.write_bytes(whole)
        await self._catch_up(store, sqlite_url)
        assert rows(sqlite_url, TALLIES) == [("1", 2, chain(2))]

    async def test_restored_from_a_backup_is_the_truth(
        self, store: EventStore, sqlite_url: str
    ) -> None:
        """Its position goes back with its rows, whatever Redis remembers."""
        file = Path(sqlite_url.removeprefix("sqlite:///"))
        number = store.keys.partition(parcel(1))
        await record(store, parcel(1), Sent("Riga"))
        await self._catch_up(store, sqlite_url)
        backup = file.read_bytes()
        await record(store, parcel(1), Weighed(1), Weighed(2))
        await self._catch_up(store, sqlite_url)
        file.write_bytes(backup)
        assert (await status(store, tally))[number].position == 3
        async with open_database(sqlite_url) as database, working(store, tally_model.at(database)):
            await until_rows(sqlite_url, TALLIES, [("1", 3, chain(3))])

    async def test_without_its_tables_begins_anew(self, store: EventStore, sql_url: str) -> None:
        await record(store, parcel(1), Sent("Riga"), Weighed(7))
        await self._catch_up(store, sql_url)
        change(sql_url, "DROP VIEW tallies")
        change(sql_url, "DROP TABLE tallies__1")
        async with open_database(sql_url) as database, working(store, tally_model.at(database)):
            await until_rows(sql_url, TALLIES, [("1", 2, chain(2))])
            change(sql_url, "DROP VIEW tallies")
            change(sql_url, "DROP TABLE tallies__1")
            await record(store, parcel(1), Weighed(8))
            await until_rows(sql_url, TALLIES, [("1", 3, chain(3))])

    async def test_of_another_store_is_not_continued(self, store: EventStore, sql_url: str) -> None:
        number = store.keys.partition(parcel(1))
        await record(store, parcel(1), Sent("Riga"))
        await self._catch_up(store, sql_url)
        change(sql_url, "UPDATE whence_checkpoint SET log = 'another'")
        async with open_database(sql_url) as database, working(store, tally_model.at(database)):
            found = await until(store, lambda found: found[number].failure != "", tally)
        assert "of store another" in found[number].failure

    async def _catch_up(self, store: EventStore, url: str) -> None:
        async with open_database(url) as database, working(store, tally_model.at(database)):
            await wait_until_caught_up(store, tally)
