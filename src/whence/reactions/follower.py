"""One worker and one reaction: the loop that answers events as they come, and timers in time."""

import logging
import time
from collections.abc import Sequence

import anyio
from anyio.abc import TaskGroup

from whence.actors.runtime import Runtime
from whence.projections.anchor import check_anchors
from whence.projections.fetch import fetch_all
from whence.projections.halts import Halts
from whence.projections.lease import Lease, Leases
from whence.projections.settings import WorkerSettings
from whence.reactions.alarms import Alarms
from whence.reactions.checkpoint import Checkpoints
from whence.reactions.delivery import Delivery
from whence.reactions.reaction import Reaction
from whence.reactions.reactor import Reactor
from whence.reactions.retries import Retries
from whence.reactions.work import Work
from whence.store.address import CALL_TIMEOUT
from whence.store.arrivals import new_pointers
from whence.store.errors import (
    CorruptStore,
    LeaseLost,
    ServerRefused,
    StoreUnavailable,
    WhenceError,
)
from whence.store.eventstore import EventStore
from whence.store.feed import Pointer, check_contiguous
from whence.store.wire import ConnectionLost

log = logging.getLogger("whence.reactions")

# Of a partition, how many aggregates are worked on side by side.
BESIDE = 64

# After one of these nobody knows what was done: the partition goes back to its checkpoint.
_NO_ANSWER = (ConnectionLost, StoreUnavailable, ServerRefused)
_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 1.0
# Seconds, shielded from cancellation.
_FAREWELL = 2.0
# Milliseconds between two looks at the quiet partitions while others are busy: one of those may
# have become quiet meanwhile.
_BUSY_LOOK_MS = 20


class Follower:
    """Follows the feeds for one reaction, on the partitions that no other worker has.

    Each partition with something to do has a task: a handler that takes its time holds up its own
    partition and no other.

    Args:
        owner: names the worker; no other worker has the same.
    """

    def __init__(
        self,
        store: EventStore,
        runtime: Runtime,
        reaction: Reaction,
        owner: str,
        settings: WorkerSettings,
    ) -> None:
        self._store = store
        self._reaction = reaction
        self._name = reaction.name
        self._settings = settings
        self._most_parked = settings.most_parked if reaction.on_failure == "park" else 0
        self._wire = store.address.wire()
        self._reading = store.address.wire(settings.poll_ms / 1000 + CALL_TIMEOUT)
        self._leases = Leases(store, self._name, owner, settings.lease_ms, self._wire)
        self._checkpoints = Checkpoints(store, self._name, self._wire)
        self.delivery = Delivery(runtime, self._name)
        self._reactor = Reactor(reaction, self.delivery, store.identity.uuid, BESIDE)
        self._retries = Retries(store, self._reactor, self._checkpoints, settings)
        self._alarms = Alarms(
            runtime.model,
            self._name,
            self.delivery,
            self._checkpoints,
            settings,
            self._reactor.limit,
        )
        self._halts = Halts(settings.retry_ms, settings.longest_retry_ms)
        self._held: dict[int, Lease] = {}
        self._busy: set[int] = set()
        self._begun = reaction.start == "beginning"
        self._look_at = 0.0
        self._trouble = ""  # what was logged last, until it is over

    async def run(self) -> None:
        """Follow until cancelled; then give the leases back."""
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._keep_leases)
                await self._follow(tasks)
        finally:
            with anyio.move_on_after(_FAREWELL, shield=True):
                await self._farewell()

    async def _follow(self, tasks: TaskGroup) -> None:
        pause = _FIRST_PAUSE
        while True:
            try:
                await self._round(tasks)
            except (*_NO_ANSWER, CorruptStore) as error:
                self._lose_all(error)
                await anyio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
            else:
                pause = _FIRST_PAUSE
                self._recovered()

    async def _round(self, tasks: TaskGroup) -> None:
        """Look after the partitions if it is time, then give work to those that have some."""
        if time.monotonic() >= self._look_at:
            await self._look()
        quiet: list[Lease] = []
        for lease in self._quiet():
            timely = time.monotonic() >= self._alarms.look_at(lease.partition)
            if timely or self._retries.due(lease) is not None:
                self._start(tasks, lease, ())
            else:
                quiet.append(lease)
        for partition, pointers in (await self._read(quiet)).items():
            self._start(tasks, self._held[partition], pointers)

    def _quiet(self) -> list[Lease]:
        """The partitions of this worker on which nobody works at the moment."""
        return [x for p, x in self._held.items() if x.active and p not in self._busy]

    # Getting partitions

    async def _look(self) -> None:
        """Take the partitions that nobody has, and those of this worker that must begin anew."""
        if not self._begun:
            await self._checkpoints.begin_now()
            self._begun = True
        await self._check_lengths()
        for partition, lease in list(self._held.items()):
            if not (lease.active or self._halts.waiting(partition)):
                del self._held[partition]
        taken = self._held.keys() | self._busy
        await self._take([n for n in range(self._store.keys.partitions) if n not in taken])
        await self._retries.look(list(self._held.values()))
        self._look_at = time.monotonic() + self._settings.poll_ms / 1000

    async def _take(self, partitions: Sequence[int]) -> None:
        leases = await self._leases.acquire(partitions)
        if not leases:
            return
        log.info("reaction %s: took %d partitions", self._name, len(leases))
        mismatches = await check_anchors(self._store, self._name, leases)
        for lease in leases:
            self._held[lease.partition] = lease
            self._alarms.take(lease.partition)
        self._retries.inherit(leases)
        for partition, error in mismatches.items():
            await self._halt(self._held[partition], error)

    async def _check_lengths(self) -> None:
        """Notice a log that was rolled back: it would be silent until it is as long again."""
        quiet = self._quiet()
        try:
            heads = await self._store.feed_heads([lease.partition for lease in quiet])
        except CorruptStore:
            return  # the next read tells in which partition
        for lease, head in zip(quiet, heads, strict=True):
            if head < lease.position:
                self._held.pop(lease.partition, None)  # when it is taken again, its anchor tells

    # Reading

    async def _read(self, quiet: Sequence[Lease]) -> dict[int, Sequence[Pointer]]:
        """What comes next in partitions that are quiet, by partition; empty if nothing came."""
        now = time.monotonic()
        until = min([self._look_at, *(self._alarms.look_at(x.partition) for x in quiet)])
        wait_ms = max(1, int((until - now) * 1000))
        if self._busy:
            wait_ms = min(wait_ms, _BUSY_LOOK_MS)
        if not quiet:
            await anyio.sleep(wait_ms / 1000)
            return {}
        after = {lease.partition: lease.position for lease in quiet}
        arrived = await new_pointers(
            self._store, self._reading.call, after, self._settings.batch, wait_ms
        )
        found: dict[int, Sequence[Pointer]] = {}
        for partition, pointers in arrived.items():
            lease = self._held.get(partition)
            if lease is None or lease.position != after[partition]:
                continue  # lost while the read was under way
            try:
                if isinstance(pointers, CorruptStore):
                    raise pointers
                check_contiguous(partition, lease.position, pointers)
            except CorruptStore as error:
                await self._halt(lease, error)
            else:
                found[partition] = pointers
        return found

    # Working

    def _start(self, tasks: TaskGroup, lease: Lease, pointers: Sequence[Pointer]) -> None:
        self._busy.add(lease.partition)
        tasks.start_soon(self._work, lease, pointers)

    async def _work(self, lease: Lease, pointers: Sequence[Pointer]) -> None:
        """Do what there is to do in a partition, until it is quiet."""
        try:
            while lease.active:
                stream = self._retries.due(lease)
                if stream is not None:
                    await self._retries.step(lease, stream)
                await self._alarms.fire(lease)
                pointers = pointers or await self._store.pointers(
                    lease.partition, after=lease.position, limit=self._settings.batch
                )
                if pointers:
                    await self._advance(lease, pointers)
                    pointers = ()
                elif stream is None and time.monotonic() < self._alarms.look_at(lease.partition):
                    return
        except ConnectionLost as error:
            self._drop(lease, f"no answer, so the checkpoint has to tell: {error}")
        except LeaseLost as error:
            self._drop(lease, str(error))
        except WhenceError as error:
            await self._halt(lease, error)
        finally:
            self._busy.discard(lease.partition)

    async def _advance(self, lease: Lease, pointers: Sequence[Pointer]) -> None:
        """Work on a piece of the feed and commit it; raises what ended it early."""
        events = (await fetch_all(self._store, {lease.partition: pointers}))[lease.partition]
        if isinstance(events, CorruptStore):
            raise events
        room = max(0, self._most_parked - len(lease.parked))
        work = Work(self._reactor, lease, events, parked=lease.parked.keys(), room=room)
        await work.run()
        outcome = work.outcome()
        if outcome is not None:
            change, timers = outcome
            await self._checkpoints.commit(lease, change, timers)
            self._halts.forget(lease.partition)
            self._alarms.expect(lease.partition, timers)
            work.report(change.notes)
        if work.failure is not None:
            raise work.failure

    # Trouble

    async def _halt(self, lease: Lease, error: WhenceError) -> None:
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
        except _NO_ANSWER:
            return  # whatever it was, it is not over
        if isinstance(refusal, LeaseLost):
            self._drop(lease, str(refusal))

    def _drop(self, lease: Lease, why: str) -> None:
        lease.halted = True
        if self._held.get(lease.partition) is lease:
            del self._held[lease.partition]
            self._halts.forget(lease.partition)
            log.info("reaction %s stood back: %s", self._name, why)

    def _lose_all(self, error: Exception) -> None:
        if str(error) != self._trouble:
            log.warning("reaction %s goes back to its checkpoints: %s", self._name, error)
        self._trouble = str(error)
        for lease in self._held.values():
            lease.halted = True
        self._held.clear()
        self._look_at = 0.0

    def _recovered(self) -> None:
        if self._trouble:
            log.info("reaction %s goes on", self._name)
            self._trouble = ""

    # Leases

    async def _keep_leases(self) -> None:
        while True:
            await anyio.sleep(self._settings.lease_ms / 3000)
            leases = list(self._held.values())
            try:
                lost = await self._leases.renew(leases)
            except _NO_ANSWER as error:
                # The leases end by themselves, and the reading loop has noticed as well.
                log.warning("reaction %s could not renew its leases: %s", self._name, error)
                continue
            for lease in lost:
                self._drop(lease, str(LeaseLost(self._name, lease.partition)))

    async def _farewell(self) -> None:
        try:
            # All of them: an acquisition may have been cancelled before its answer came.
            await self._leases.release(range(self._store.keys.partitions))
        except _NO_ANSWER as error:
            log.warning("reaction %s could not give its leases back: %s", self._name, error)
        finally:
            await self._reading.close()
            await self._wire.close()
