"""View and checkpoint of a projection in a SQL database, and their mirror in Redis."""

from collections.abc import Callable, Mapping, Sequence

from sqlalchemy import Connection
from sqlalchemy.exc import StatementError

from whence.projections.batch import Change, Refused, Step
from whence.projections.database import is_trouble
from whence.projections.generation import Generation, make_ours
from whence.projections.lease import Lease
from whence.projections.mirror import Mirror
from whence.projections.projection import Projector
from whence.projections.sqlprojection import SqlProjection
from whence.projections.sqlstanding import Notes, SqlStanding
from whence.projections.sqlwrite import SqlWriter
from whence.store.errors import (
    DatabaseUnavailable,
    LeaseLost,
    NoGeneration,
    TableMismatch,
    WhenceError,
    WriteRefused,
)
from whence.store.eventstore import EventStore
from whence.store.wire import Wire

Outcome = WhenceError | Refused | None


class SqlLedger:
    """The ledger of a SQL view: one transaction for the partitions of a step.

    Where the view stands, who may move it and what it goes on without are in the database, beside
    the view. After each transaction they are written down in Redis as well, never before it, so
    that whoever asks for them needs no database.
    """

    # A transaction waits for the disk once, however much is in it.
    together = 4

    def __init__(self, store: EventStore, projection: Projector, wire: Wire) -> None:
        assert isinstance(projection, SqlProjection), "every other one is in Redis"
        self._name = projection.name
        self._database = projection.database
        self._session = self._database.session()
        self._mirror = Mirror(store, projection.name, wire)
        self._log = store.identity.uuid
        self._standing = SqlStanding(projection.name, self._log)
        self._generation = Generation(projection.name, projection.tables)
        self._writer = SqlWriter(self._generation)

    async def take(self, leases: Sequence[Lease]) -> Mapping[int, WhenceError]:
        def prepare(connection: Connection) -> None:
            if self._generation.prepare(connection):
                self._standing.reset(connection)

        return await self._take(leases, prepare)

    async def hold(self, leases: Sequence[Lease]) -> Mapping[int, WhenceError]:
        return await self._take(leases, lambda _: None)

    async def _take(
        self, leases: Sequence[Lease], prepare: Callable[[Connection], None]
    ) -> Mapping[int, WhenceError]:
        if not leases:
            return {}

        def work(connection: Connection) -> dict[int, Notes]:
            make_ours(connection)
            prepare(connection)
            return self._standing.take(connection, leases)

        try:
            notes = await self._session.transaction(work)
        except (NoGeneration, TableMismatch) as error:
            return dict.fromkeys([lease.partition for lease in leases], error)
        outcomes = await self._mirror.write(leases, notes)
        return {
            lease.partition: error
            for lease, error in zip(leases, outcomes, strict=True)
            if error is not None
        }

    async def commit(self, changes: Sequence[tuple[Lease, Change]]) -> Sequence[Outcome]:
        if not changes:
            return []
        outcomes = await self._session.transaction(lambda c: self._commit(c, changes))
        moved = [number for number, outcome in enumerate(outcomes) if outcome is None]
        mirrored = await self._mirror.commit(
            [(lease, change._replace(steps=())) for lease, change in (changes[n] for n in moved)]
        )
        for number, outcome in zip(moved, mirrored, strict=True):
            outcomes[number] = outcome
        return outcomes

    async def note_failure(self, lease: Lease, failure: str) -> WhenceError | None:
        return await self._mirror.note_failure(lease, failure)

    async def show(self, old: str = "", held: Sequence[Lease] = ()) -> bool:
        def work(connection: Connection) -> bool:
            if held and SqlStanding(old, self._log).lost(connection, held):
                return False
            self._generation.switch(connection)
            return True

        return await self._session.transaction(work)

    async def clear(self, live: str, *, keep_skips: bool) -> None:
        def work(connection: Connection) -> None:
            self._drop(connection, live, for_good=False)
            if keep_skips:
                self._standing.skip_as(connection, live)

        await self._session.transaction(work)
        await self._mirror.clear(live, keep_skips=keep_skips)

    async def drop(self, live: str, hold_ms: int) -> None:
        await self._session.transaction(lambda c: self._drop(c, live, for_good=True))
        await self._mirror.drop(live, hold_ms)

    async def close(self) -> None:
        await self._session.close()

    def _drop(self, connection: Connection, live: str, *, for_good: bool) -> None:
        make_ours(connection)
        shown = Generation(live, self._generation.declared)
        self._generation.drop(connection, shown, for_good=for_good)

    def _commit(
        self, connection: Connection, changes: Sequence[tuple[Lease, Change]]
    ) -> list[Outcome]:
        lost = set(self._standing.lost(connection, [lease for lease, _ in changes]))
        outcomes: list[Outcome] = [
            LeaseLost(self._name, lease.partition) if lease.partition in lost else None
            for lease, _ in changes
        ]
        current = [n for n, outcome in enumerate(outcomes) if outcome is None]
        for number, outcome in self._write(connection, current, changes).items():
            outcomes[number] = outcome
        moved = [changes[n] for n, outcome in enumerate(outcomes) if outcome is None]
        self._standing.move(connection, moved)
        return outcomes

    def _write(
        self,
        connection: Connection,
        numbers: Sequence[int],
        changes: Sequence[tuple[Lease, Change]],
    ) -> dict[int, Refused]:
        """Write all changes together; if the database refuses that, find the events at fault."""
        steps = [step for n in numbers for step in changes[n][1].steps]
        if self._tried(connection, steps) is None:
            return {}
        self._check_tables(connection)
        refused: dict[int, Refused] = {}
        for number in numbers:
            steps = list(changes[number][1].steps)
            if self._tried(connection, steps) is not None:
                found = self._one_by_one(connection, steps)
                if found is not None:
                    refused[number] = found
        return refused

    def _one_by_one(self, connection: Connection, steps: Sequence[Step]) -> Refused | None:
        """Apply each event by itself; if some are refused, nothing of any is written."""
        errors: dict[int, Exception] = {}
        outer = connection.begin_nested()
        for step in steps:
            error = self._tried(connection, [step])
            if error is not None:
                errors[step.number] = error
        if not errors:
            outer.commit()
            return None
        outer.rollback()
        return Refused(errors)

    def _tried(self, connection: Connection, steps: Sequence[Step]) -> Exception | None:
        """What is wrong with these, and then nothing of them is written; None if all of it is.

        Raises what is no event's fault.
        """
        if not steps:
            return None
        try:
            with connection.begin_nested():
                self._writer.write(connection, steps)
        except Exception as error:  # whatever a driver makes of a value
            if is_trouble(error):
                raise
            return self._told(error)
        return None

    def _told(self, error: Exception) -> Exception:
        """An error as people read it in a note: what a driver said, without the statement."""
        if not isinstance(error, StatementError):
            return error
        told = WriteRefused(self._name, str(error.orig).partition("\n")[0])
        told.__cause__ = error
        return told

    def _check_tables(self, connection: Connection) -> None:
        """Raises DatabaseUnavailable if somebody has removed them: then no event is at fault."""
        missing = self._generation.missing(connection)
        if missing:
            names = ", ".join(table.name for table in missing)
            raise DatabaseUnavailable(self._database.shown, f"{names} is gone; it is made anew")
