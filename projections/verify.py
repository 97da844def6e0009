"""Comparing two generations of a view, row by row, at the same positions of the log."""

import secrets
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from typing import Any, NamedTuple

import anyio
import msgspec

from whence.projections.advance import Advance
from whence.projections.catchup import Progress
from whence.projections.lease import Lease, Leases
from whence.projections.ledger import Ledger, ledger_of
from whence.projections.projection import Projector, in_redis
from whence.projections.settings import WorkerSettings
from whence.store.address import CALL_TIMEOUT
from whence.store.errors import (
    CorruptStore,
    InvalidSetting,
    LeaseLost,
    ServerRefused,
    StoreUnavailable,
    ViewBehind,
)
from whence.store.eventstore import EventStore
from whence.store.wire import ConnectionLost, Wire

# Differences that are told one by one; the rest is counted.
MOST = 100
# Rows per round trip.
_PAGE = 500
# Seconds that the workers of other code have to bring the live generation to where the new one is.
_PATIENCE = 10.0
_LOOK_EVERY = 0.05


class Difference(NamedTuple):
    """A field that is not the same in two generations; without ``field`` it is the whole row.

    ``before`` and ``after`` are JSON values; None as well where there is no such row or field.
    """

    key: str
    field: str
    before: Any
    after: Any


class Comparison(NamedTuple):
    """``rows`` were compared, ``different`` of them differ; ``differences`` has the first ones."""

    rows: int
    different: int
    differences: list[Difference]


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
    other, and then their rows are read. So what differs is what the code makes different.

    Args:
        old, new: the generations; ``new`` is of this code.
        same_code: whether ``old`` is, too. If not, its workers have to bring it to where ``new``
            is.
        progress: is told how many partitions are compared, of how many.

    Raises:
        InvalidSetting: the view is in a SQL database, where SQL compares its tables.
        ViewBehind: the live one stands still behind the new one.
        LeaseLost: somebody else compares or switches them.
        ProjectionFailed, CorruptStore: an event cannot be applied.
        StoreUnavailable, ServerRefused: the server does not answer.
    """
    if not in_redis(old):
        raise InvalidSetting(
            f"{old.base} is kept in a SQL database: compare the tables of its generations with SQL",
            field="verify",
        )
    settings = settings or WorkerSettings()
    comparing = _Comparing(store, old, new, same_code, settings)
    try:
        return await comparing.run(progress)
    except ConnectionLost as error:
        raise StoreUnavailable(store.address.shown, str(error)) from error
    finally:
        with anyio.move_on_after(CALL_TIMEOUT, shield=True):
            await comparing.close()


class _Side:
    """One of the two generations, under leases of this comparison."""

    def __init__(
        self, store: EventStore, generation: Projector, wire: Wire, settings: WorkerSettings
    ) -> None:
        self._store = store
        self._batch = settings.batch
        self.name = generation.name
        owner = f"verify:{secrets.token_hex(4)}"
        self.leases = Leases(store, generation.name, owner, settings.lease_ms, wire)
        self._ledger: Ledger = ledger_of(store, generation, wire)
        self._advance = Advance(store, generation, self._ledger, settings)

    async def take(self, number: int) -> Lease:
        (lease,) = await self.leases.acquire([number], force=True)
        return lease

    async def bring(self, lease: Lease, position: int) -> None:
        """Apply the events up to a position."""
        while lease.position < position:
            pointers = await self._store.pointers(
                lease.partition, after=lease.position, before=position + 1, limit=self._batch
            )
            if not pointers:
                raise CorruptStore(
                    f"the feed of partition {lease.partition} ends at {lease.position}, before the "
                    f"position {position} of {self.name}: events were lost on the server"
                )
            _, errors = await self._advance.apply([(lease, pointers)])
            for error in errors.values():
                raise error

    async def keep(self, lease: Lease) -> None:
        """Raises LeaseLost."""
        if await self.leases.renew([lease]):
            raise LeaseLost(self.name, lease.partition)


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
        self._old = _Side(store, old, self._wire, settings)
        self._new = _Side(store, new, self._wire, settings)
        self._keep_every = settings.lease_ms / 3000
        self._rows = 0
        self._different = 0
        self._found: list[Difference] = []

    async def run(self, progress: Progress | None) -> Comparison:
        partitions = self._store.keys.partitions
        for number in range(partitions):
            async with self._level(number) as leases:
                await self._compare(number, leases)
            if progress is not None:
                progress(number + 1, partitions)
        return Comparison(self._rows, self._different, self._found)

    async def close(self) -> None:
        await self._wire.close()

    @asynccontextmanager
    async def _level(self, number: int) -> AsyncGenerator[tuple[Lease, Lease]]:
        """Hold a partition of both at one position."""
        try:
            new = await self._new.take(number)
            old = await self._passed(new)
            head = await self._store.feed_head(number)
            await self._new.bring(new, min(old.position, head))
            yield old, new
        finally:
            with anyio.move_on_after(CALL_TIMEOUT, shield=True):
                await self._release(number)

    async def _passed(self, new: Lease) -> Lease:
        """The lease of the live generation, where it is not behind the new one any more."""
        give_up = time.monotonic() + _PATIENCE
        while True:
            old = await self._old.take(new.partition)
            if self._same_code:
                await self._old.bring(old, new.position)
            if old.position >= new.position:
                return old
            await self._old.leases.release([new.partition])
            if time.monotonic() >= give_up:
                raise ViewBehind(
                    self._old.name, new.partition, new.position, old.position, _PATIENCE
                )
            await self._new.keep(new)
            await anyio.sleep(_LOOK_EVERY)

    async def _release(self, number: int) -> None:
        """A lease that cannot be given back ends by itself."""
        try:
            await self._old.leases.release([number])
            await self._new.leases.release([number])
        except (ConnectionLost, StoreUnavailable, ServerRefused):
            pass

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
        await self._old.keep(old)
        await self._new.keep(new)

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
            self._rows += 1
            found = _differences(key.decode(), mine, other)
        elif other is None:
            self._rows += 1
            found = [Difference(key.decode(), "", None, msgspec.json.decode(mine))]
        else:
            return
        if found:
            self._different += 1
            self._found += found[: MOST - len(self._found)]


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
