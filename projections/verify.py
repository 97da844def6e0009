"""Comparing two generations of a view, row by row, at the same positions of the log."""

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING

import anyio
import msgspec

from whence.projections.catchup import Progress
from whence.projections.comparison import Comparison, Difference, Tally
from whence.projections.lease import Lease
from whence.projections.projection import Projector, in_redis
from whence.projections.settings import WorkerSettings
from whence.projections.side import Side
from whence.store.address import CALL_TIMEOUT
from whence.store.errors import StoreUnavailable, ViewBehind
from whence.store.eventstore import EventStore
from whence.store.wire import ConnectionLost

if TYPE_CHECKING:
    from whence.projections.sqlverify import SqlComparing

# Rows per round trip.
_PAGE = 500
# Seconds that the workers of other code have to bring the live generation to where the new one is.
_PATIENCE = 10.0
_LOOK_EVERY = 0.05


async def compare(
    store: EventStore,
    old: Projector,
    new: Projector,
    *,
    same_code: bool,
    progress: Progress | None = None,
    settings: WorkerSettings | None = None,
) -> Comparison:
    """Compare the live generation of a view with the one that has caught up with it.

    Partition by partition: both are held back, the one behind is brought to the position of the
    other, and then their rows are read. So what differs is what the code makes different. Of a
    SQL view all partitions are held back at once, and its tables are read from a snapshot.

    Args:
        old, new: the generations; ``new`` is of this code.
        same_code: whether ``old`` is, too. If not, its workers have to bring it to where ``new``
            is.
        progress: is told how many partitions (of a SQL view: tables) are compared, of how many.

    Raises:
        TableMismatch: two tables of a SQL view have no key in common.
        ViewBehind: the live one stands still behind the new one.
        LeaseLost: somebody else compares or switches them.
        ProjectionFailed, CorruptStore: an event cannot be applied.
        StoreUnavailable, ServerRefused: the server does not answer.
    """
    comparing = _comparing(store, old, new, same_code, settings or WorkerSettings())
    try:
        return await comparing.run(progress)
    except ConnectionLost as error:
        raise StoreUnavailable(store.address.shown, str(error)) from error
    finally:
        with anyio.move_on_after(CALL_TIMEOUT, shield=True):
            await comparing.close()


def _comparing(
    store: EventStore, old: Projector, new: Projector, same_code: bool, settings: WorkerSettings
) -> "_Comparing | SqlComparing":
    if in_redis(new):
        return _Comparing(store, old, new, same_code, settings)
    from whence.projections.sqlprojection import SqlProjection  # noqa: PLC0415  # an extra
    from whence.projections.sqlverify import SqlComparing  # noqa: PLC0415

    assert isinstance(old, SqlProjection), "every other one is in Redis"
    assert isinstance(new, SqlProjection), "every other one is in Redis"
    return SqlComparing(store, old, new, same_code, settings)


class _Comparing:
    def __init__(
        self,
        store: EventStore,
        old: Projector,
        new: Projector,
        same_code: bool,
        settings: WorkerSettings,
    ) -> None:
        self._store = store
        self._same_code = same_code
        self._wire = store.address.wire()
        self._old = Side(store, old, self._wire, settings)
        self._new = Side(store, new, self._wire, settings)
        self._keep_every = settings.lease_ms / 3000
        self._tally = Tally()

    async def run(self, progress: Progress | None) -> Comparison:
        partitions = self._store.keys.partitions
        for number in range(partitions):
            async with self._level(number) as leases:
                await self._compare(number, leases)
            if progress is not None:
                progress(number + 1, partitions)
        return self._tally.comparison()

    async def close(self) -> None:
        try:
            await self._old.close()
            await self._new.close()
        finally:
            await self._wire.close()

    @asynccontextmanager
    async def _level(self, number: int) -> AsyncGenerator[tuple[Lease, Lease]]:
        """Hold a partition of both at one position."""
        try:
            new = (await self._new.hold([number], prepare=False))[number]
            old = await self._passed(new)
            head = await self._store.feed_head(number)

            async def keep() -> None:
                await self._old.keep([old])

            await self._new.bring({number: new}, {number: min(old.position, head)}, keep)
            yield old, new
        finally:
            with anyio.move_on_after(CALL_TIMEOUT, shield=True):
                await self._old.release([number])
                await self._new.release([number])

    async def _passed(self, new: Lease) -> Lease:
        """The lease of the live generation, where it is not behind the new one any more."""
        give_up = time.monotonic() + _PATIENCE
        number = new.partition

        async def keep() -> None:
            await self._new.keep([new])

        while True:
            old = (await self._old.hold([number], prepare=False))[number]
            if self._same_code:
                await self._old.bring({number: old}, {number: new.position}, keep)
            if old.position >= new.position:
                return old
            await self._old.release([number])
            if time.monotonic() >= give_up:
                raise ViewBehind(self._old.name, number, new.position, old.position, _PATIENCE)
            await keep()
            await anyio.sleep(_LOOK_EVERY)

    async def _compare(self, number: int, leases: tuple[Lease, Lease]) -> None:
        keep_at = time.monotonic() + self._keep_every
        for here, there, first in ((self._old, self._new, True), (self._new, self._old, False)):
            async with aclosing(self._pages(number, here.name, there.name)) as pages:
                async for page in pages:
                    for key, mine, other in page:
                        self._note(key, mine, other, first=first)
                    if time.monotonic() >= keep_at:
                        await self._keep(leases)
                        keep_at = time.monotonic() + self._keep_every
        await self._keep(leases)

    async def _keep(self, leases: tuple[Lease, Lease]) -> None:
        old, new = leases
        await self._old.keep([old])
        await self._new.keep([new])

    async def _pages(
        self, number: int, here: str, there: str
    ) -> AsyncGenerator[list[tuple[bytes, bytes, bytes | None]]]:
        """Each row of a generation once, with that of the other one."""
        keys, cursor, seen = self._store.keys, b"0", set[bytes]()
        while True:
            cursor, flat = await self._store.ask(
                "HSCAN", keys.view(number, here), cursor, "COUNT", _PAGE
            )
            rows = dict(zip(flat[::2], flat[1::2], strict=True))
            fresh = [key for key in rows if key not in seen]  # HSCAN may repeat a key
            seen.update(fresh)
            if fresh:
                others = await self._store.ask("HMGET", keys.view(number, there), *fresh)
                yield [(key, rows[key], other) for key, other in zip(fresh, others, strict=True)]
            if cursor == b"0":
                return

    def _note(self, key: bytes, mine: bytes, other: bytes | None, *, first: bool) -> None:
        """Count a row; in the second round only those that the first one could not know."""
        if first:
            self._tally.add(_differences(key.decode(), mine, other))
        elif other is None:
            self._tally.add([Difference(key.decode(), "", None, msgspec.json.decode(mine))])


def _differences(key: str, before: bytes, after: bytes | None) -> list[Difference]:
    """Field by field; the order of the fields makes no difference."""
    if before == after:
        return []
    old = msgspec.json.decode(before)
    if after is None:
        return [Difference(key, "", old, None)]
    new = msgspec.json.decode(after)
    return [
        Difference(key, field, old.get(field), new.get(field))
        for field in {**old, **new}
        if old.get(field) != new.get(field) or (field in old) != (field in new)
    ]
