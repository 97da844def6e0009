"""The partitions of a reaction that one worker holds: its share, as it comes and goes."""

import logging
import time
from collections.abc import Collection, Sequence

from whence.projections.anchor import check_anchors
from whence.projections.halts import Halts
from whence.projections.lease import Lease, Leases
from whence.projections.membership import Membership
from whence.projections.settings import WorkerSettings
from whence.projections.share import Share
from whence.reactions.checkpoint import Checkpoints
from whence.store.errors import (
    AnchorMismatch,
    CorruptStore,
    LeaseLost,
    ReactionAstray,
    ServerRefused,
    StoreUnavailable,
    WhenceError,
)
from whence.store.eventstore import EventStore
from whence.store.wire import ConnectionLost, Wire

log = logging.getLogger("whence.reactions")

# After one of these nobody knows what was done: the partition goes back to its checkpoint.
NO_ANSWER = (ConnectionLost, StoreUnavailable, ServerRefused)


class Holding:
    """The leases of one worker; ``held`` has them by partition, halted ones included.

    Args:
        owner: names the worker; no other worker has the same.
        wire: for the leases and the checkpoints.

    The methods that ask the server raise ConnectionLost, StoreUnavailable or ServerRefused when
    there is no answer.
    """

    def __init__(
        self,
        store: EventStore,
        reaction: str,
        checkpoints: Checkpoints,
        owner: str,
        settings: WorkerSettings,
        wire: Wire,
    ) -> None:
        self.held: dict[int, Lease] = {}
        self._store = store
        self._name = reaction
        self._checkpoints = checkpoints
        self._owner = owner
        self._leases = Leases(store, reaction, owner, settings.lease_ms, wire)
        self._membership = Membership(store, reaction, owner, settings.lease_ms, wire)
        self._share = Share(reaction, owner, 0, settings.lease_ms / 2000)
        self._halts = Halts(settings.retry_ms, settings.longest_retry_ms)

    def quiet(self, busy: Collection[int]) -> list[Lease]:
        """Those that may be worked on, and are not."""
        return [x for n, x in self.held.items() if x.active and n not in busy]

    async def look(self, busy: Collection[int]) -> list[Lease]:
        """Take and give back partitions until all workers have their share; returns what was taken.

        Those that are ``busy`` stay as they are until the next look. What has ended, or was halted
        for long enough, is begun anew.
        """
        await self._check_lengths(busy)
        for number, lease in list(self.held.items()):
            if not (lease.active or self._halts.waiting(number)):
                del self.held[number]
        partitions = range(self._store.keys.partitions)
        workers, owners = await self._membership.muster(partitions)
        for lease in list(self.held.values()):
            if owners[lease.partition] != self._owner:
                self.drop(lease, str(LeaseLost(self._name, lease.partition)))
        move = self._share.move(owners, workers, time.monotonic())
        await self._give([number for number in move.give if number not in busy])
        own = {number for number, owner in owners.items() if owner == self._owner}
        wanted = (own | set(move.take)) - set(move.give) - self.held.keys()
        return await self._take(sorted(wanted.difference(busy)))

    async def renew(self) -> None:
        """Extend the leases, and say that this worker lives."""
        lost = await self._leases.renew(list(self.held.values()))
        for lease in lost:
            self.drop(lease, str(LeaseLost(self._name, lease.partition)))
        await self._membership.beat()

    async def leave(self) -> None:
        """Give everything back."""
        await self._membership.leave()
        # All of them: an acquisition may have been cancelled before its answer came.
        await self._leases.release(range(self._store.keys.partitions))

    async def halt(self, lease: Lease, error: WhenceError) -> None:
        """Let a partition wait; it is tried again under a new lease, with all its checks."""
        lease.halted = True
        pause = self._halts.add(lease.partition)
        log.error(
            "partition %d of reaction %s is halted at position %d, next try in %.1f s: %s",
            lease.partition,
            self._name,
            lease.position,
            pause / 1000,
            error,
            exc_info=error.__cause__,
        )
        try:
            refusal = await self._checkpoints.note_failure(lease, str(error))
        except NO_ANSWER:
            return  # whatever is wrong now, it will be found again
        if isinstance(refusal, LeaseLost):
            self.drop(lease, str(refusal))

    def moved(self, lease: Lease) -> None:
        """A partition has moved on: its next halt is its first one."""
        self._halts.forget(lease.partition)

    def drop(self, lease: Lease, why: str) -> None:
        """Leave a partition to whoever has it now."""
        lease.halted = True
        if self.held.get(lease.partition) is lease:
            del self.held[lease.partition]
            self._halts.forget(lease.partition)
            log.info("reaction %s stood back: %s", self._name, why)

    def lose_all(self) -> None:
        """Begin anew with everything, for nobody knows what was done."""
        for lease in self.held.values():
            lease.halted = True
        self.held.clear()

    async def _give(self, partitions: Sequence[int]) -> None:
        for number in partitions:
            lease = self.held.pop(number, None)
            if lease is not None:
                lease.halted = True
            self._halts.forget(number)
        await self._leases.release(partitions)
        if partitions:
            log.info("reaction %s: gave %d partitions back", self._name, len(partitions))

    async def _take(self, partitions: Sequence[int]) -> list[Lease]:
        leases = await self._leases.acquire(partitions)
        if leases:
            log.info("reaction %s: took %d partitions", self._name, len(leases))
        mismatches = await check_anchors(self._store, self._name, leases)
        self.held.update((lease.partition, lease) for lease in leases)
        for number, error in mismatches.items():
            await self.halt(self.held[number], self._astray(error))
        return leases

    def _astray(self, error: CorruptStore) -> CorruptStore:
        """A mismatch in the words of a reaction, for which there is no rebuild."""
        if not isinstance(error, AnchorMismatch):
            return error
        return ReactionAstray(self._name, error.partition, error.position, error.was, error.found)

    async def _check_lengths(self, busy: Collection[int]) -> None:
        """Notice a log that was rolled back: it would be silent until it is as long again."""
        quiet = self.quiet(busy)
        try:
            heads = await self._store.feed_heads([lease.partition for lease in quiet])
        except CorruptStore:
            return  # the next read tells in which partition
        for lease, head in zip(quiet, heads, strict=True):
            if head < lease.position:
                self.held.pop(lease.partition, None)  # when it is taken again, its anchor tells
