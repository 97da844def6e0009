"""One worker and one projection: the loop that keeps a view at the head of the log."""

import time
from collections.abc import Iterable, Mapping, Sequence

import anyio

from whence.projections.advance import Advance
from whence.projections.anchor import check_anchors
from whence.projections.group import Group
from whence.projections.holding import NO_ANSWER, Holding
from whence.projections.lease import Lease
from whence.projections.ledger import ledger_of
from whence.projections.projection import Projector
from whence.projections.reader import Reader
from whence.projections.retries import Retries
from whence.projections.settings import WorkerSettings
from whence.store.errors import WhenceError
from whence.store.eventstore import EventStore

_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 1.0
# Seconds, shielded from cancellation.
_FAREWELL = 2.0


class Follower:
    """Follows the feeds for one projection, on its share of the partitions.

    Args:
        partitions: those that are shared with the other workers' followers of the same ones.
        owner: names the worker; no other worker has the same.
        first_seat: how many partitions of the projection other followers of this worker have.
    """

    def __init__(
        self,
        store: EventStore,
        projection: Projector,
        partitions: Iterable[int],
        owner: str,
        settings: WorkerSettings,
        *,
        first_seat: int = 0,
    ) -> None:
        self._store = store
        self._name = projection.name
        self._poll = settings.poll_ms / 1000
        self._wire = store.address.wire()
        self._group = Group(store, projection.name, settings.poll_ms)
        self._ledger = ledger_of(store, projection, self._wire)
        self._holding = Holding(
            store,
            "projection",
            projection.name,
            owner,
            settings,
            self._wire,
            partitions=partitions,
            begin=self._begin,
            note_failure=self._ledger.note_failure,
            first_seat=first_seat,
        )
        self._reader = Reader(
            store,
            self._group,
            self._holding.held,
            settings.batch,
            in_turn=self._ledger.together,
        )
        self._advance = Advance(store, projection, self._ledger, settings)
        self._retries = Retries(store, projection, self._ledger, settings)
        self._look_at = 0.0

    async def run(self) -> None:
        """Follow until cancelled; then give the leases back."""
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._holding.keep)
                await self._follow()
        finally:
            with anyio.move_on_after(_FAREWELL, shield=True):
                await self._farewell()

    async def _follow(self) -> None:
        pause = _FIRST_PAUSE
        while True:
            try:
                await self._round()
            except NO_ANSWER as error:
                self._holding.lose_all(error)
                self._reader.forget()
                self._reader.less()
                self._look_at = 0.0
                await anyio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
            else:
                pause = _FIRST_PAUSE
                self._holding.recovered()
                self._reader.more()

    async def _round(self) -> None:
        """Look after the partitions if it is time, then read once and apply what came.

        A piece of a parked sequence comes between two reads, so neither waits for the other.
        """
        if time.monotonic() >= self._look_at:
            await self._look()
        active = self._holding.active()
        if not active:
            await anyio.sleep(max(0.0, self._look_at - time.monotonic()))
            return
        if self._retries.running:
            await self._holding.handle(await self._retries.step())
        pieces, errors = await self._reader.read(active, wait=not self._retries.running)
        await self._holding.handle(errors)
        if pieces:
            done, errors = await self._advance.apply(pieces)
            for partition in done:
                self._holding.moved(partition)
            await self._holding.handle(errors)

    async def _look(self) -> None:
        """Let all workers have their share; no batch is under way meanwhile, and no read.

        The group does not say everything: a worker that was paused within its blocking read may
        come back to it and take an event away; a log that was rolled back delivers nothing at all.
        """
        await self._reader.settle()
        behind = await self._holding.compare(self._reader.quiet(self._holding.active()))
        await self._holding.handle(await self._group.set_back(behind))
        self._retries.inherit(await self._holding.look())
        await self._retries.look(list(self._holding.held.values()))
        self._look_at = time.monotonic() + self._poll

    async def _begin(self, leases: Sequence[Lease]) -> Mapping[int, WhenceError]:
        """Stand where the view stands, on the log that it was made from, and read from there."""
        unusable = await self._ledger.take(leases)
        usable = [lease for lease in leases if lease.partition not in unusable]
        mismatches = await check_anchors(self._store, self._name, usable)
        refused = await self._group.set_back(leases)
        return {**refused, **mismatches, **unusable}

    async def _farewell(self) -> None:
        self._reader.forget()
        try:
            await self._holding.leave()
        finally:
            await self._group.close()
            await self._ledger.close()
            await self._wire.close()
