"""The partitions that one worker holds: its share of them, as it comes and goes."""

import logging
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from typing import Literal

import anyio

from whence.projections.halts import Halts
from whence.projections.lease import Lease, Leases
from whence.projections.membership import Membership
from whence.projections.settings import WorkerSettings
from whence.projections.share import Share
from whence.store.errors import (
    CorruptStore,
    LeaseLost,
    ProjectionFailed,
    ReactionFailed,
    ServerRefused,
    StoreUnavailable,
    UpcastFailed,
    WhenceError,
)
from whence.store.eventstore import EventStore
from whence.store.wire import ConnectionLost, Wire

# After one of these nobody knows what was done: every partition goes back to its checkpoint.
NO_ANSWER = (ConnectionLost, StoreUnavailable, ServerRefused, CorruptStore)

# What the code of the domain raised is told with its traceback; of the rest the sentence is enough.
_OF_THE_DOMAIN = (ProjectionFailed, ReactionFailed, UpcastFailed)

# Gets ready to work under leases that were just acquired; tells what is wrong, by partition.
Begin = Callable[[Sequence[Lease]], Awaitable[Mapping[int, WhenceError]]]
# Writes down why a partition stands still; LeaseLost when another worker has come since.
NoteFailure = Callable[[Lease, str], Awaitable[WhenceError | None]]


class Holding:
    """The leases of one follower; ``held`` has them by partition, halted ones included.

    A lease that was lost or given back is halted, so that nobody works under it any more.

    Args:
        kind, name: of what is followed, a projection or a reaction.
        owner: names the worker; no other worker has the same.
        wire: for the leases.
        partitions: those that are shared with the other workers' followers of the same ones.
        first_seat: how many partitions of ``name`` other followers of this worker have.

    The methods that ask the server raise one of NO_ANSWER when there is none, but for ``keep`` and
    ``leave``, which log it.
    """

    def __init__(
        self,
        store: EventStore,
        kind: Literal["projection", "reaction"],
        name: str,
        owner: str,
        settings: WorkerSettings,
        wire: Wire,
        *,
        partitions: Iterable[int],
        begin: Begin,
        note_failure: NoteFailure,
        first_seat: int = 0,
    ) -> None:
        self.held: dict[int, Lease] = {}
        self._store = store
        self._name = name
        self._kind = kind
        self._title = f"{kind} {name}"
        self._log = logging.getLogger(f"whence.{kind}s")
        self._owner = owner
        self._partitions = frozenset(partitions)
        self._begin = begin
        self._note_failure = note_failure
        self._renew_after = settings.lease_ms / 3000
        self._leases = Leases(store, name, owner, settings.lease_ms, wire)
        self._membership = Membership(store, name, owner, settings.lease_ms, wire)
        self._share = Share(name, owner, first_seat, settings.lease_ms / 2000)
        self._halts = Halts(settings.retry_ms, settings.longest_retry_ms)
        self._trouble = ""  # what was logged last, until it is over

    def active(self, busy: Collection[int] = ()) -> list[Lease]:
        """Those that may be worked on, without the ``busy`` ones."""
        return [x for n, x in self.held.items() if x.active and not x.leaving and n not in busy]

    # Getting partitions

    async def compare(self, leases: Sequence[Lease]) -> list[Lease]:
        """Compare leases with the heads of their feeds; returns those that are behind.

        A log that was rolled back would be silent until it is as long again: a lease that stands
        beyond its feed is let go of, and when the partition is taken again, its anchor tells.
        """
        try:
            heads = await self._store.feed_heads([lease.partition for lease in leases])
        except CorruptStore:
            return []  # the next read tells in which partition
        for lease, head in zip(leases, heads, strict=True):
            if head < lease.position:
                self.held.pop(lease.partition, None)
        return [lease for lease, head in zip(leases, heads, strict=True) if head > lease.position]

    async def look(self, busy: Collection[int] = ()) -> list[Lease]:
        """Take and give back partitions until all workers have their share; returns what was taken.

        Those that are ``busy`` stay until they are not, so what is given back stands at its last
        commit; ``leaving`` asks for that. What has ended, or was halted for long enough, is begun
        anew.
        """
        for number, lease in list(self.held.items()):
            if not (lease.active or self._halts.waiting(number)):
                del self.held[number]
        workers, owners = await self._membership.muster(self._partitions)
        for lease in list(self.held.values()):
            if owners[lease.partition] != self._owner:
                self._lost(lease)
        move = self._share.move(owners, workers, time.monotonic())
        for lease in self.held.values():
            lease.leaving = lease.partition in move.give
        await self._give([number for number in move.give if number not in busy])
        own = {number for number, owner in owners.items() if owner == self._owner}
        wanted = (own | set(move.take)) - set(move.give) - self.held.keys()
        return await self._take(sorted(wanted.difference(busy)))

    async def _give(self, partitions: Sequence[int]) -> None:
        for number in partitions:
            lease = self.held.pop(number, None)
            if lease is not None:
                lease.halted = True
            self._halts.forget(number)
        await self._leases.release(partitions)
        if partitions:
            self._log.info("%s: gave %d partitions back", self._title, len(partitions))

    async def _take(self, partitions: Sequence[int]) -> list[Lease]:
        leases = await self._leases.acquire(partitions)
        if leases:
            self._log.info("%s: took %d partitions", self._title, len(leases))
        errors = await self._begin(leases)
        self.held.update((lease.partition, lease) for lease in leases)
        await self.handle(errors)
        return leases

    # Trouble

    async def handle(self, errors: Mapping[int, WhenceError]) -> None:
        """Leave partitions that were lost, and halt those with another error."""
        for number, error in errors.items():
            lease = self.held.get(number)
            if lease is None:
                continue
            if isinstance(error, LeaseLost):
                self.drop(lease, str(error))
            else:
                await self.halt(lease, error)

    async def halt(self, lease: Lease, error: WhenceError) -> None:
        """Let a partition wait; it is tried again under a new lease, with all its checks."""
        lease.halted = True
        pause = self._halts.add(lease.partition)
        self._log.error(
            "partition %d of %s is halted at position %d, next try in %.1f s: %s",
            lease.partition,
            self._title,
            lease.position,
            pause / 1000,
            error,
            exc_info=error.__cause__ if isinstance(error, _OF_THE_DOMAIN) else None,
        )
        refusal = await self._note_failure(lease, str(error))
        if isinstance(refusal, LeaseLost):
            self.drop(lease, str(refusal))

    def moved(self, partition: int) -> None:
        """A partition has moved on: its next halt is its first one."""
        self._halts.forget(partition)

    def drop(self, lease: Lease, why: str) -> None:
        """Leave a partition to whoever has it now."""
        lease.halted = True
        if self.held.get(lease.partition) is lease:
            del self.held[lease.partition]
            self._halts.forget(lease.partition)
            self._log.info("%s stood back: %s", self._title, why)

    def lose_all(self, error: Exception) -> None:
        """Begin anew with everything, for nobody knows what was done."""
        if str(error) != self._trouble:
            self._log.warning("%s goes back to its checkpoints: %s", self._title, error)
        self._trouble = str(error)
        for lease in self.held.values():
            lease.halted = True
        self.held.clear()

    def recovered(self) -> None:
        """The server answers."""
        if self._trouble:
            self._log.info("%s goes on", self._title)
            self._trouble = ""

    # Leases

    async def keep(self) -> None:
        """Extend the leases in time, and say that this worker lives, until cancelled."""
        while True:
            await anyio.sleep(self._renew_after)
            try:
                for lease in await self._leases.renew(list(self.held.values())):
                    self._lost(lease)
                await self._membership.beat()
            except NO_ANSWER as error:
                # The leases end by themselves, and the reading loop has noticed as well.
                self._log.warning("%s could not renew its leases: %s", self._title, error)

    async def leave(self) -> None:
        """Give everything back."""
        try:
            await self._membership.leave()
            # All of them: an acquisition may have been cancelled before its answer came.
            await self._leases.release(self._partitions)
        except NO_ANSWER as error:
            self._log.warning("%s could not give its leases back: %s", self._title, error)

    def _lost(self, lease: Lease) -> None:
        self.drop(lease, str(LeaseLost(self._name, lease.partition, self._kind)))
