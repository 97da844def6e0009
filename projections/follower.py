"""One worker and one projection: the loop that keeps a view at the head of the log."""

import logging
import time
from collections.abc import Iterable, Mapping, Sequence

import anyio

from whence.projections.advance import Advance
from whence.projections.anchor import check_anchors
from whence.projections.group import Group
from whence.projections.halts import Halts
from whence.projections.lease import Lease, Leases
from whence.projections.ledger import ledger_of
from whence.projections.membership import Membership
from whence.projections.projection import Projector
from whence.projections.retries import Retries
from whence.projections.settings import WorkerSettings
from whence.projections.share import Share
from whence.store.errors import (
    CorruptStore,
    FeedGap,
    LeaseLost,
    ServerRefused,
    StoreUnavailable,
    WhenceError,
)
from whence.store.eventstore import EventStore
from whence.store.feed import Pointer, check_contiguous
from whence.store.wire import ConnectionLost

log = logging.getLogger("whence.projections")

# After one of these nobody knows what was done: every partition goes back to its checkpoint.
_NO_ANSWER = (ConnectionLost, StoreUnavailable, ServerRefused, CorruptStore)
# Partitions that are read together while any is behind: the events of a step should find room in
# the processor's cache, and none waits long for its turn.
_IN_TURN = 2
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
        self._partitions = frozenset(partitions)
        self._name = projection.name
        self._settings = settings
        self._wire = store.address.wire()
        self._group = Group(store, projection.name, settings.poll_ms)
        self._leases = Leases(store, projection.name, owner, settings.lease_ms, self._wire)
        self._membership = Membership(store, projection.name, owner, settings.lease_ms, self._wire)
        self._owner = owner
        self._share = Share(projection.name, owner, first_seat, settings.lease_ms / 2000)
        self._ledger = ledger_of(store, projection, self._wire)
        self._advance = Advance(store, projection, self._ledger, settings)
        self._retries = Retries(store, projection, self._ledger, settings)
        self._halts = Halts(settings.retry_ms, settings.longest_retry_ms)
        self._held: dict[int, Lease] = {}
        self._quiet: set[int] = set()  # held, and nothing was read from it since the last look
        self._behind: set[int] = set()  # the last read from it was full
        self._next = 0
        self._look_at = 0.0
        self._count = settings.batch
        self._trouble = ""  # what was logged last, until it is over

    async def run(self) -> None:
        """Follow until cancelled; then give the leases back."""
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._keep_leases)
                await self._follow()
        finally:
            with anyio.move_on_after(_FAREWELL, shield=True):
                await self._farewell()

    async def _follow(self) -> None:
        pause = _FIRST_PAUSE
        while True:
            try:
                await self._round()
            except _NO_ANSWER as error:
                self._lose_all(error)
                await anyio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
            else:
                pause = _FIRST_PAUSE
                self._recovered()

    async def _round(self) -> None:
        """Look after the partitions if it is time, then read once and apply what came.

        A piece of a parked sequence comes between two reads, so neither waits for the other.
        """
        if time.monotonic() >= self._look_at:
            await self._look()
        active = [p for p, lease in self._held.items() if lease.active]
        if not active:
            await anyio.sleep(max(0.0, self._look_at - time.monotonic()))
            return
        if self._retries.running:
            await self._handle(await self._retries.step())
        wait = not self._behind and not self._retries.running
        found = await self._read(self._turn(active), wait=wait)
        pieces = await self._pieces(found)
        if pieces:
            done, errors = await self._advance.apply(pieces)
            self._quiet.difference_update(done)
            for partition in done:
                self._halts.forget(partition)
            await self._handle(errors)

    # Getting partitions

    async def _look(self) -> None:
        """Take and give back partitions until all workers have their share.

        No batch is under way meanwhile, so what is given back stands at its last commit. What this
        worker has lost, and what it has halted for long enough, it begins anew.
        """
        await self._check_quiet()
        for partition, lease in list(self._held.items()):
            if not lease.active and not self._halts.waiting(partition):
                del self._held[partition]
        workers, owners = await self._membership.muster(self._partitions)
        for partition in self._held.keys() & self._lost(owners):
            self._drop(partition, str(LeaseLost(self._name, partition)))
        move = self._share.move(owners, workers, time.monotonic())
        await self._give(move.give)
        own = {partition for partition, owner in owners.items() if owner == self._owner}
        await self._take((own | set(move.take)) - set(move.give) - self._held.keys())
        await self._retries.look(list(self._held.values()))
        self._quiet = set(self._held)
        self._look_at = time.monotonic() + self._settings.poll_ms / 1000

    def _lost(self, owners: Mapping[int, str]) -> set[int]:
        return {partition for partition, owner in owners.items() if owner != self._owner}

    async def _give(self, partitions: Sequence[int]) -> None:
        for partition in partitions:
            self._held.pop(partition, None)
            self._halts.forget(partition)
        await self._leases.release(partitions)
        if partitions:
            log.info("projection %s: gave %d partitions back", self._name, len(partitions))

    async def _take(self, partitions: Iterable[int]) -> None:
        leases = await self._leases.acquire(sorted(partitions))
        if leases:
            log.info("projection %s: took %d partitions", self._name, len(leases))
        unusable = await self._ledger.take(leases)
        usable = [lease for lease in leases if lease.partition not in unusable]
        mismatches = await check_anchors(self._store, self._name, usable)
        refused = await self._group.set_back(leases)
        self._held.update((lease.partition, lease) for lease in leases)
        self._retries.inherit(leases)
        await self._handle({**refused, **mismatches, **unusable})

    async def _check_quiet(self) -> None:
        """Notice what the group will not say.

        A worker that was paused within its blocking read may come back to it and take an event away
        from the group; a log that was rolled back delivers nothing at all.
        """
        quiet = [self._held[p] for p in self._quiet & self._held.keys()]
        quiet = [lease for lease in quiet if lease.active]
        try:
            heads = await self._store.feed_heads([lease.partition for lease in quiet])
        except CorruptStore:
            return  # the next read tells in which partition
        behind = [lease for lease, head in zip(quiet, heads, strict=True) if head > lease.position]
        for lease, head in zip(quiet, heads, strict=True):
            if head < lease.position:
                self._held.pop(lease.partition, None)  # when it is taken again, its anchor tells
        await self._handle(await self._group.set_back(behind))

    # Reading

    def _turn(self, active: list[int]) -> list[int]:
        """The partitions to read next: all of them, or while any is behind a few, in turns."""
        self._behind.intersection_update(active)
        if not self._behind:
            return active
        first = self._next if self._next < len(active) else 0
        self._next = first + _IN_TURN
        return active[first : self._next]

    async def _read(
        self, partitions: list[int], *, wait: bool
    ) -> Mapping[int, Sequence[Pointer] | CorruptStore]:
        count = self._count
        found = await self._group.read(partitions, count, wait=wait)
        for partition in partitions:
            pointers = found.get(partition, ())
            if not isinstance(pointers, CorruptStore) and len(pointers) == count:
                self._behind.add(partition)
            else:
                self._behind.discard(partition)
        return found

    async def _pieces(
        self, found: Mapping[int, Sequence[Pointer] | CorruptStore]
    ) -> list[tuple[Lease, Sequence[Pointer]]]:
        """What follows on from the checkpoints; the rest is read again or halts."""
        pieces: list[tuple[Lease, Sequence[Pointer]]] = []
        errors: dict[int, WhenceError] = {}
        for partition, pointers in found.items():
            lease = self._held.get(partition)
            if lease is None:  # lost while the read was under way
                continue
            if isinstance(pointers, CorruptStore):
                errors[partition] = pointers
                continue
            try:
                check_contiguous(partition, lease.position, pointers)
            except FeedGap:
                errors.update(await self._read_again(lease))
            else:
                pieces.append((lease, pointers))
        await self._handle(errors)
        return pieces

    async def _read_again(self, lease: Lease) -> Mapping[int, WhenceError]:
        """Set the group back after a gap: another reader may have moved it. Is the log in order?"""
        try:
            await self._store.pointers(lease.partition, after=lease.position, limit=self._count)
        except CorruptStore as error:
            return {lease.partition: error}
        return await self._group.set_back([lease])

    # Trouble

    async def _handle(self, errors: Mapping[int, WhenceError]) -> None:
        for partition, error in errors.items():
            lease = self._held.get(partition)
            if isinstance(error, LeaseLost):
                self._drop(partition, str(error))
            elif lease is not None:
                await self._halt(lease, error)

    async def _halt(self, lease: Lease, error: WhenceError) -> None:
        lease.halted = True
        pause = self._halts.add(lease.partition)
        log.error(
            "partition %d of projection %s is halted at position %d, next try in %.1f s: %s",
            lease.partition,
            self._name,
            lease.position,
            pause / 1000,
            error,
            exc_info=error.__cause__,
        )
        refusal = await self._ledger.note_failure(lease, str(error))
        if isinstance(refusal, LeaseLost):
            self._drop(lease.partition, str(refusal))

    def _drop(self, partition: int, why: str) -> None:
        if self._held.pop(partition, None) is not None:
            self._halts.forget(partition)
            log.info("stood back: %s", why)

    def _lose_all(self, error: Exception) -> None:
        if str(error) != self._trouble:
            log.warning("projection %s goes back to its checkpoints: %s", self._name, error)
        self._trouble = str(error)
        self._held.clear()
        self._look_at = 0.0
        # A reply may have been too large to arrive in time.
        self._count = max(1, self._count // 2)

    def _recovered(self) -> None:
        if self._trouble:
            log.info("projection %s goes on", self._name)
            self._trouble = ""
        self._count = min(2 * self._count, self._settings.batch)

    # Leases

    async def _keep_leases(self) -> None:
        while True:
            await anyio.sleep(self._settings.lease_ms / 3000)
            leases = list(self._held.values())
            try:
                lost = await self._leases.renew(leases)
                await self._membership.beat()
            except _NO_ANSWER as error:
                # The leases end by themselves, and the reading loop has noticed as well.
                log.warning("projection %s could not renew its leases: %s", self._name, error)
                continue
            for lease in lost:
                if self._held.get(lease.partition) is lease:
                    self._drop(lease.partition, str(LeaseLost(self._name, lease.partition)))

    async def _farewell(self) -> None:
        try:
            await self._membership.leave()
            # All of them: an acquisition may have been cancelled before its answer came.
            await self._leases.release(self._partitions)
        except _NO_ANSWER as error:
            log.warning("projection %s could not give its leases back: %s", self._name, error)
        finally:
            await self._group.close()
            await self._ledger.close()
            await self._wire.close()
