"""Comparing two generations of a SQL view: all partitions of both at the same positions."""

import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from functools import partial

import anyio
from sqlalchemy import Connection

from whence.projections.catchup import Progress
from whence.projections.comparison import Comparison, Tally
from whence.projections.generation import Generation
from whence.projections.lease import Lease
from whence.projections.settings import WorkerSettings
from whence.projections.side import Side
from whence.projections.sqlpair import TablePair
from whence.projections.sqlprojection import SqlProjection
from whence.projections.sqlstanding import SqlStanding
from whence.projections.status import status
from whence.store.address import CALL_TIMEOUT
from whence.store.errors import LeaseLost, ViewBehind
from whence.store.eventstore import EventStore

# Seconds that the workers of other code have to bring the live generation to where the new one is.
_PATIENCE = 10.0
_LOOK_EVERY = 0.05

Held = Mapping[int, Lease]


class SqlComparing:
    """One comparison.

    A table has rows of all partitions, and a row may come from several, so all partitions of both
    generations are held at once. That lasts until a snapshot of the database is taken; it is read
    while both move on.
    """

    def __init__(
        self,
        store: EventStore,
        old: SqlProjection,
        new: SqlProjection,
        same_code: bool,
        settings: WorkerSettings,
    ) -> None:
        self._store = store
        self._live = old
        self._same_code = same_code
        self._wire = store.address.wire()
        self._old = Side(store, old, self._wire, settings)
        self._new = Side(store, new, self._wire, settings)
        self._snapshot = new.database.snapshot()
        before = Generation(old.name, new.tables).physical
        after = Generation(new.name, new.tables).physical
        self._pairs = [
            TablePair(
                table.name,
                [column.name for column in table.primary_key],
                before[table].name,
                after[table].name,
            )
            for table in new.tables
        ]

    async def run(self, progress: Progress | None) -> Comparison:
        """Raises as ``compare`` does; progress is told how many tables are compared."""
        await self._take_snapshot()
        tally = Tally()
        for number, pair in enumerate(self._pairs):
            async with aclosing(pair.compare(self._snapshot)) as pages:
                async for page in pages:
                    for found in page:
                        tally.add(found)
            if progress is not None:
                progress(number + 1, len(self._pairs))
        return tally.comparison([found for pair in self._pairs for found in pair.left_out])

    async def close(self) -> None:
        try:
            await self._snapshot.close()
            await self._old.close()
            await self._new.close()
        finally:
            await self._wire.close()

    async def _take_snapshot(self) -> None:
        """A worker that is about to take a partition may come in between; then once more."""
        give_up = time.monotonic() + _PATIENCE
        while True:
            try:
                async with self._level() as (old, new):
                    await self._snapshot.read(partial(self._check, old, new))
            except LeaseLost:
                if time.monotonic() >= give_up:
                    raise
                await self._snapshot.close()
            else:
                return

    @asynccontextmanager
    async def _level(self) -> AsyncGenerator[tuple[Held, Held]]:
        """Hold all partitions of both, each at one position."""
        partitions = range(self._store.keys.partitions)
        try:
            new = await self._new.hold(partitions, prepare=True)
            old = await self._passed(new)
            heads = await self._store.feed_heads(partitions)
            wanted = {n: min(old[n].position, head) for n, head in enumerate(heads)}

            async def keep() -> None:
                await self._old.keep(old.values())

            await self._new.bring(new, wanted, keep)
            yield old, new
        finally:
            with anyio.move_on_after(CALL_TIMEOUT, shield=True):
                await self._old.release(partitions)
                await self._new.release(partitions)

    async def _passed(self, new: Held) -> Held:
        """The live generation, where no partition of it is behind the new one any more."""
        wanted = {number: lease.position for number, lease in new.items()}

        async def keep() -> None:
            await self._new.keep(new.values())

        if not self._same_code:
            await self._wait(wanted, keep)
        old = await self._old.hold(wanted, prepare=False)
        if self._same_code:
            await self._old.bring(old, wanted, keep)
        self._check_passed({n: lease.position for n, lease in old.items()}, wanted)
        return old

    async def _wait(self, wanted: Mapping[int, int], keep: Callable[[], Awaitable[None]]) -> None:
        """Return when the workers of other code have come to these positions."""
        give_up = time.monotonic() + _PATIENCE
        while True:
            found = {one.partition: one.position for one in await status(self._store, self._live)}
            if all(found[n] >= position for n, position in wanted.items()):
                return
            if time.monotonic() >= give_up:
                self._check_passed(found, wanted)
            await keep()
            await anyio.sleep(_LOOK_EVERY)

    def _check_passed(self, found: Mapping[int, int], wanted: Mapping[int, int]) -> None:
        """Raises ViewBehind."""
        for number, position in wanted.items():
            if found[number] < position:
                raise ViewBehind(self._old.name, number, position, found[number], _PATIENCE)

    def _check(self, old: Held, new: Held, connection: Connection) -> None:
        """The snapshot has both where they are held. Raises LeaseLost."""
        for side, held in ((self._old, old), (self._new, new)):
            standing = SqlStanding(side.name, self._store.identity.uuid)
            for number in standing.lost(connection, list(held.values()), lock=False):
                raise LeaseLost(side.name, number)
