"""One worker and one reaction: the loop that answers events as they come, and timers in time."""

import time
from collections.abc import Sequence

import anyio
from anyio.abc import TaskGroup

from whence.actors.runtime import Runtime
from whence.projections.fetch import fetch_all
from whence.projections.holding import NO_ANSWER, Holding
from whence.projections.lease import Lease
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
from whence.store.errors import CorruptStore, LeaseLost, WhenceError
from whence.store.eventstore import EventStore
from whence.store.feed import Pointer, check_contiguous
from whence.store.wire import ConnectionLost

# Of a partition, how many aggregates are worked on side by side.
BESIDE = 64

_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 1.0
# Seconds, shielded from cancellation.
_FAREWELL = 2.0
# Milliseconds between two looks at the quiet partitions while others are busy: one of those may
# have become quiet meanwhile.
_BUSY_LOOK_MS = 20


class Follower:
    """Follows the feeds for one reaction, on its share of the partitions.

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
        self._holding = Holding(
            store,
            "reaction",
            self._name,
            owner,
            settings,
            self._wire,
            partitions=range(store.keys.partitions),
            begin=self._checkpoints.check,
            note_failure=self._checkpoints.note_failure,
        )
        self._busy: set[int] = set()
        self._begun = reaction.start == "beginning"
        self._look_at = 0.0

    async def run(self) -> None:
        """Follow until cancelled; then give the leases back."""
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._holding.keep)
                await self._follow(tasks)
        finally:
            with anyio.move_on_after(_FAREWELL, shield=True):
                await self._farewell()

    async def _follow(self, tasks: TaskGroup) -> None:
        pause = _FIRST_PAUSE
        while True:
            try:
                await self._round(tasks)
            except NO_ANSWER as error:
                self._holding.lose_all(error)
                self._look_at = 0.0
                await anyio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
            else:
                pause = _FIRST_PAUSE
                self._holding.recovered()

    async def _round(self, tasks: TaskGroup) -> None:
        """Look after the partitions if it is time, then give work to those that have some."""
        if time.monotonic() >= self._look_at:
            await self._look()
        quiet: list[Lease] = []
        for lease in self._holding.active(self._busy):
            timely = time.monotonic() >= self._alarms.look_at(lease.partition)
            if timely or self._retries.due(lease) is not None:
                self._start(tasks, lease, ())
            else:
                quiet.append(lease)
        for lease, pointers in await self._read(quiet):
            self._start(tasks, lease, pointers)

    async def _look(self) -> None:
        if not self._begun:
            await self._checkpoints.begin_now()
            self._begun = True
        await self._holding.compare(self._holding.active(self._busy))
        taken = await self._holding.look(self._busy)
        for lease in taken:
            self._alarms.take(lease.partition)
        self._retries.inherit(taken)
        await self._retries.look(list(self._holding.held.values()))
        self._look_at = time.monotonic() + self._settings.poll_ms / 1000

    # Reading

    async def _read(self, quiet: Sequence[Lease]) -> list[tuple[Lease, Sequence[Pointer]]]:
        """What comes next in partitions that are quiet; empty if nothing came.

        A lease may have been lost by the time that this returns; who works under it looks.
        """
        now = time.monotonic()
        until = min([self._look_at, *(self._alarms.look_at(x.partition) for x in quiet)])
        wait_ms = max(1, int((until - now) * 1000))
        if self._busy:
            wait_ms = min(wait_ms, _BUSY_LOOK_MS)
        if not quiet:
            await anyio.sleep(wait_ms / 1000)
            return []
        after = {lease.partition: lease.position for lease in quiet}
        arrived = await new_pointers(
            self._store, self._reading.call, after, self._settings.batch, wait_ms
        )
        found: list[tuple[Lease, Sequence[Pointer]]] = []
        for partition, pointers in arrived.items():
            lease = self._holding.held.get(partition)
            if lease is None or lease.position != after[partition]:
                continue  # lost while the read was under way
            try:
                if isinstance(pointers, CorruptStore):
                    raise pointers
                check_contiguous(partition, lease.position, pointers)
            except CorruptStore as error:
                await self._holding.halt(lease, error)
            else:
                found.append((lease, pointers))
        return found

    # Working

    def _start(self, tasks: TaskGroup, lease: Lease, pointers: Sequence[Pointer]) -> None:
        self._busy.add(lease.partition)
        tasks.start_soon(self._work, lease, pointers)

    async def _work(self, lease: Lease, pointers: Sequence[Pointer]) -> None:
        """Do what there is to do in a partition, until it is quiet or to be given back."""
        try:
            while lease.active and not lease.leaving:
                stream = self._retries.due(lease)
                if stream is not None:
                    timers = await self._retries.step(lease, stream)
                    self._alarms.expect(lease.partition, timers)
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
            self._holding.drop(lease, f"no answer, so the checkpoint has to tell: {error}")
        except LeaseLost as error:
            self._holding.drop(lease, str(error))
        except WhenceError as error:
            await self._holding.halt(lease, error)
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
            self._holding.moved(lease.partition)
            self._alarms.expect(lease.partition, timers)
            work.report(change.notes)
        if work.failure is not None:
            raise work.failure

    async def _farewell(self) -> None:
        try:
            await self._holding.leave()
        finally:
            await self._reading.close()
            await self._wire.close()
