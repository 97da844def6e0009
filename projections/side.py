"""A generation of a view, held at a position that somebody else chooses."""

import secrets
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress

from whence.projections.advance import Advance
from whence.projections.lease import Lease, Leases
from whence.projections.ledger import Ledger, ledger_of
from whence.projections.projection import Projector
from whence.projections.settings import WorkerSettings
from whence.store.errors import CorruptStore, LeaseLost, ServerRefused, StoreUnavailable
from whence.store.eventstore import EventStore
from whence.store.feed import Pointer
from whence.store.wire import ConnectionLost, Wire


class Side:
    """One of two generations that are compared, under leases of the comparison.

    Raises ConnectionLost, StoreUnavailable and ServerRefused, as leases and ledgers do.
    """

    def __init__(
        self, store: EventStore, generation: Projector, wire: Wire, settings: WorkerSettings
    ) -> None:
        self._store = store
        self._batch = settings.batch
        self.name = generation.name
        owner = f"verify:{secrets.token_hex(4)}"
        self._leases = Leases(store, generation.name, owner, settings.lease_ms, wire)
        self._ledger: Ledger = ledger_of(store, generation, wire)
        self._advance = Advance(store, generation, self._ledger, settings)

    async def hold(self, partitions: Iterable[int], *, prepare: bool) -> dict[int, Lease]:
        """Take these partitions from whoever has them; raises what is wrong with the first.

        ``prepare`` makes the tables that are missing.
        """
        leases = await self._leases.acquire(partitions, force=True)
        take = self._ledger.take if prepare else self._ledger.hold
        for error in (await take(leases)).values():
            raise error
        return {lease.partition: lease for lease in leases}

    async def bring(
        self,
        leases: Mapping[int, Lease],
        wanted: Mapping[int, int],
        keep: Callable[[], Awaitable[None]],
    ) -> None:
        """Apply the events up to these positions, by partition.

        ``keep`` is called after each step, to extend the leases of others beside these.

        Raises:
            CorruptStore: there are not so many.
            ProjectionFailed, LeaseLost: as following the log does.
        """
        while behind := [lease for n, lease in leases.items() if lease.position < wanted[n]]:
            pieces = [(lease, await self._next(lease, wanted[lease.partition])) for lease in behind]
            _, errors = await self._advance.apply(pieces)
            for error in errors.values():
                raise error
            await self.keep(leases.values())
            await keep()

    async def keep(self, leases: Iterable[Lease]) -> None:
        """Raises LeaseLost."""
        for lost in await self._leases.renew(list(leases)):
            raise LeaseLost(self.name, lost.partition)

    async def release(self, partitions: Iterable[int]) -> None:
        """A lease that cannot be given back ends by itself."""
        with suppress(ConnectionLost, StoreUnavailable, ServerRefused):
            await self._leases.release(partitions)

    async def close(self) -> None:
        """The wire is the caller's."""
        await self._ledger.close()

    async def _next(self, lease: Lease, wanted: int) -> Sequence[Pointer]:
        pointers = await self._store.pointers(
            lease.partition, after=lease.position, before=wanted + 1, limit=self._batch
        )
        if not pointers:
            raise CorruptStore(
                f"the feed of partition {lease.partition} ends at {lease.position}, before the "
                f"position {wanted} of {self.name}: events were lost on the server"
            )
        return pointers
