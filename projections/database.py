"""The database of SQL views: SQLite in a file, or PostgreSQL."""

import sqlite3
import threading
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import anyio.to_thread
from sqlalchemy import URL, Connection, Engine, Table, create_engine, event, make_url
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
    InterfaceError,
    InternalError,
    OperationalError,
)
from sqlalchemy.pool import ConnectionPoolEntry

from whence.store.errors import DatabaseUnavailable, InvalidSetting

T = TypeVar("T")
Upsert = sqlite.Insert | postgresql.Insert

DRIVERS = {
    "sqlite": "sqlite",
    "postgresql": "postgresql+psycopg",
    "postgres": "postgresql+psycopg",
    "postgresql+psycopg": "postgresql+psycopg",
}
# Milliseconds that a statement waits for others: for the only writer of a SQLite file, for a row in
# PostgreSQL.
LOCK_MS = 5_000
# Milliseconds after which PostgreSQL ends a transaction whose worker has stopped in the middle, so
# that its rows do not stay locked for whoever has taken its partitions over.
IDLE_MS = 10_000
# What SQLite says of a statement, or of a value in it. All else is the trouble of the file.
_FAULTS = {
    sqlite3.SQLITE_ERROR,
    sqlite3.SQLITE_TOOBIG,
    sqlite3.SQLITE_CONSTRAINT,
    sqlite3.SQLITE_MISMATCH,
    sqlite3.SQLITE_MISUSE,
    sqlite3.SQLITE_RANGE,
}
# Marks a connection that never writes, so it waits for nobody who does.
_READS = "whence_reads"


class Database:
    """Where SQL views are kept. One for a process; it is opened by ``open_database``.

    Statements run in threads, on a connection for each ``Session``. Only one of them writes to a
    SQLite file at a time, and the others of this process queue here rather than poll the file.
    """

    def __init__(self, url: URL) -> None:
        self.shown = url.render_as_string(hide_password=True)
        self.is_sqlite = url.get_backend_name() == "sqlite"
        self.engine = _sqlite(url) if self.is_sqlite else _postgres(url)
        self._turn = threading.Lock()

    def session(self) -> "Session":
        """A connection of one's own; it is made when it is first needed."""
        return Session(self, self._turn if self.is_sqlite else None)

    def snapshot(self) -> "Snapshot":
        """A connection of one's own, that reads one state; which one, its first read says."""
        return Snapshot(self)

    def told(self, error: BaseException) -> BaseException:
        """An error as callers get it: whatever a database said is a DatabaseUnavailable."""
        if isinstance(error, sqlite3.Error | DBAPIError):
            told = DatabaseUnavailable(self.shown, _cause(error))
            told.__cause__ = error
            return told
        return error

    def close(self) -> None:
        """Close the connections that are left."""
        self.engine.dispose()


class Session:
    """One connection: a transaction at a time, each in a thread."""

    def __init__(self, database: Database, turn: "threading.Lock | None") -> None:
        self._database = database
        self._turn = turn
        self._connection: Connection | None = None

    async def transaction(self, work: Callable[[Connection], T]) -> T:
        """What ``work`` returns, after all that it has written was committed; or nothing was.

        Raises:
            DatabaseUnavailable: no answer, or a refusal that is not the fault of a statement;
                whether it was committed is unknown.
        """
        return await anyio.to_thread.run_sync(self._transaction, work)

    async def close(self) -> None:
        await anyio.to_thread.run_sync(self._drop)

    def _transaction(self, work: Callable[[Connection], T]) -> T:
        try:
            if self._turn is None:
                return self._run(work)
            with self._turn:
                return self._run(work)
        except BaseException as error:
            self._drop()
            raise self._database.told(error)  # noqa: B904  # the cause is set

    def _run(self, work: Callable[[Connection], T]) -> T:
        if self._connection is None:
            self._connection = self._database.engine.connect()
        with self._connection.begin():
            return work(self._connection)

    def _drop(self) -> None:
        """Without the connection: after an error nobody knows in what state it is."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.invalidate()
            connection.close()


class Snapshot:
    """One state of a database for several reads, each in a thread; others write meanwhile."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._connection: Connection | None = None

    async def read(self, work: Callable[[Connection], T]) -> T:
        """What ``work`` returns. Raises DatabaseUnavailable: no answer; DBAPIError: a refusal."""
        return await anyio.to_thread.run_sync(self._read, work)

    async def close(self) -> None:
        await anyio.to_thread.run_sync(self._drop)

    def _read(self, work: Callable[[Connection], T]) -> T:
        try:
            return work(self._begun())
        except Exception as error:
            if is_trouble(error):
                raise self._database.told(error)  # noqa: B904  # the cause is set
            raise

    def _begun(self) -> Connection:
        if self._connection is None:
            self._connection = self._database.engine.connect()
            if self._database.is_sqlite:
                self._connection.execution_options(**{_READS: True})
            else:
                self._connection.execution_options(
                    isolation_level="REPEATABLE READ", postgresql_readonly=True
                )
            self._connection.begin()
        return self._connection

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.invalidate()
            connection.close()


@asynccontextmanager
async def open_database(url: str) -> AsyncGenerator[Database]:
    """The database at a URL, proven to answer.

    Args:
        url: ``sqlite:///views.db`` (a path from here; four slashes for one from the root) or
            ``postgresql://user:password@host/name``.

    Raises:
        InvalidSetting: it is no such URL, its folder does not exist, or its driver is not
            installed.
        DatabaseUnavailable: it does not answer.
    """
    database = Database(parse_url(url))
    try:
        await _ask(database)
        yield database
    finally:
        database.close()


async def _ask(database: Database) -> None:
    """Read, for whoever writes to a SQLite file just now must not keep others from opening it."""
    snapshot = database.snapshot()
    try:
        await snapshot.read(lambda connection: connection.exec_driver_sql("SELECT 1").all())
    finally:
        await snapshot.close()


def parse_url(text: str) -> URL:
    """Raises InvalidSetting: what is wrong with it."""
    try:
        url = make_url(text)
    except ArgumentError:
        raise _invalid(text, "it has another form") from None
    driver = DRIVERS.get(url.drivername)
    if driver is None:
        raise _invalid(url.render_as_string(), f"{url.drivername} is no database that is known")
    if driver == "sqlite":
        _check_file(url)
    return url.set(drivername=driver)


def upsert(connection: Connection, table: Table) -> Upsert:
    """An insert into a table that may say what to do where the row is there already."""
    if connection.dialect.name == "postgresql":
        return postgresql.insert(table)
    return sqlite.insert(table)


def is_trouble(error: Exception) -> bool:
    """Whether a statement is without fault: the database is away, locked, full or damaged."""
    if not isinstance(error, DBAPIError):
        return isinstance(error, sqlite3.Error)  # of a connection that was being made
    if error.connection_invalidated:
        return True
    if isinstance(error.orig, sqlite3.Error):
        # Without a code it is the driver that refuses a value.
        code = getattr(error.orig, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
        return code & 0xFF not in _FAULTS
    # A server that only reads, or whose pages are damaged, is an InternalError.
    return isinstance(error, OperationalError | InterfaceError | InternalError)


def _check_file(url: URL) -> None:
    if not url.database or url.database == ":memory:" or "mode=memory" in url.database:
        raise _invalid(url.render_as_string(), "a view in memory is gone with its worker")
    folder = Path(url.database).absolute().parent
    if not folder.is_dir():
        raise _invalid(url.render_as_string(), f"there is no folder {folder}")


def _invalid(url: str, why: str) -> InvalidSetting:
    return InvalidSetting(
        f"{url!r} does not name a database for SQL views: {why}; write sqlite:///path/views.db or "
        "postgresql://user:password@host/name (WHENCE_SQL_URL)",
        field="sql",
    )


def _cause(error: sqlite3.Error | DBAPIError) -> str:
    said = error.orig if isinstance(error, DBAPIError) else error
    return str(said).strip().partition("\n")[0]


def _sqlite(url: URL) -> Engine:
    engine = create_engine(url, connect_args={"timeout": LOCK_MS / 1000})

    def prepare(connection: Any, _: ConnectionPoolEntry) -> None:
        connection.isolation_level = None  # transactions begin where we say so
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")

    def begin(connection: Connection) -> None:
        # A transaction that reads first and then writes may be refused; one that begins by writing
        # waits for its turn.
        reads = connection.get_execution_options().get(_READS, False)
        connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")

    event.listen(engine, "connect", prepare)
    event.listen(engine, "begin", begin)
    return engine


def _postgres(url: URL) -> Engine:
    options = f"-c lock_timeout={LOCK_MS} -c idle_in_transaction_session_timeout={IDLE_MS}"
    try:
        return create_engine(
            url, connect_args={"connect_timeout": LOCK_MS // 1000, "options": options}
        )
    except ModuleNotFoundError as error:
        raise InvalidSetting(
            f"PostgreSQL needs the package {error.name}: pip install 'whence[postgres]'"
        ) from error
