"""The timers of the partitions that a follower holds: when to look, and what to send."""

import logging
import time
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import anyio

from whence.actors.model import WriteModel
from whence.projections.lease import Lease
from whence.projections.settings import WorkerSettings
from whence.reactions.checkpoint import DUE_PAGE, Checkpoints, Due
from whence.reactions.delivery import TROUBLE, Delivery, Outgoing
from whence.reactions.reactor import check_held
from whence.reactions.timer import Timer, TimerId, decode_timer
from whence.store.errors import CorruptStore, WhenceError
from whence.store.ids import StreamId
from whence.store.metadata import Metadata

log = logging.getLogger("whence.reactions")

# Seconds after which a clock is compared again, for the server's may be set.
_LONGEST_WAIT = 30.0


class _Gate(NamedTuple):
    """Timers that are due at ``until_ms`` go out once the reaction has come to this position."""

    until_ms: int
    position: int


class Alarms:
    """Sends the commands whose moment has come.

    A timer is looked at only when the reaction has handled all that the partition's feed held when
    it came due: an event that cancels it is never overtaken, however long no worker was there.
    """

    def __init__(
        self,
        model: WriteModel,
        reaction: str,
        delivery: Delivery,
        checkpoints: Checkpoints,
        settings: WorkerSettings,
        limit: anyio.Semaphore,
    ) -> None:
        self._model = model
        self._reaction = reaction
        self._delivery = delivery
        self._checkpoints = checkpoints
        self._settings = settings
        self._limit = limit
        self._look_at: dict[int, float] = {}  # readings of time.monotonic(), by partition
        self._ahead: dict[int, float] = {}  # seconds by which the server's clock is ahead of it
        self._gates: dict[int, _Gate] = {}
        self._failed: dict[TimerId, float] = {}  # when to try again

    def take(self, partition: int) -> None:
        """A partition is held from now on: nothing is known of its timers."""
        self._look_at[partition] = 0.0
        self._gates.pop(partition, None)

    def look_at(self, partition: int) -> float:
        """When to call ``fire`` for a partition that is quiet, as a reading of the clock."""
        return self._look_at.get(partition, 0.0)

    def expect(self, partition: int, timers: Mapping[TimerId, Timer | None]) -> None:
        """These timers have been set, or are there no more."""
        for id_, timer in timers.items():
            self._failed.pop(id_, None)  # that was another one
            if timer is not None:
                self._look_by(partition, timer.due_ms)

    async def fire(self, lease: Lease) -> None:
        """Send what is due, if the reaction has come far enough for it.

        Raises:
            LeaseLost: another worker has come since.
            CorruptStore: the feed or a timer is not as it must be.
            one of TROUBLE: no answer for now, try again.
        """
        partition = lease.partition
        gate = self._gates.get(partition)
        if gate is None or lease.position < gate.position:
            if time.monotonic() < self.look_at(partition):
                return
            gate = await self._gate(partition)
        if gate is not None and lease.position >= gate.position:
            await self._fire_until(lease, gate.until_ms)
            self._gates.pop(partition, None)

    async def _gate(self, partition: int) -> _Gate | None:
        """The gate as it stands now; None if nothing is due.

        A feed that ends before it was rolled back, and would never come to it.
        """
        found = await self._due(partition)
        if not found.timers:
            self._gates.pop(partition, None)
            return None
        gate = self._gates.get(partition)
        if gate is None or found.head < gate.position:
            gate = self._gates[partition] = _Gate(found.now_ms, found.head)
        self._look_at[partition] = time.monotonic() + self._settings.poll_ms / 1000
        return gate

    async def _due(self, partition: int) -> Due:
        found = await self._checkpoints.due(partition)
        now = time.monotonic()
        self._ahead[partition] = found.now_ms / 1000 - now
        self._failed = {id_: at for id_, at in self._failed.items() if at > now}
        if not found.timers:
            self._look_at[partition] = float("inf")
            if found.next_ms is not None:
                self._look_by(partition, found.next_ms)
        return found

    async def _fire_until(self, lease: Lease, until_ms: int) -> None:
        left = 0
        while True:
            found = await self._checkpoints.due(lease.partition, until_ms, left)
            left += len(found.timers) - await self._fire_page(lease, found.timers)
            if len(found.timers) < DUE_PAGE:
                break
        # What is left waits for somebody; what has come due since is found by the next look.
        pause = self._settings.poll_ms / 1000 if left else 0.0
        self._look_at[lease.partition] = time.monotonic() + pause

    async def _fire_page(self, lease: Lease, timers: Mapping[TimerId, bytes]) -> int:
        """How many of these timers have had their answers; those of an aggregate in their order."""
        by_target: dict[StreamId, list[tuple[TimerId, Timer]]] = {}
        for id_, timer in self._ready(lease, timers):
            by_target.setdefault(timer.target, []).append((id_, timer))
        fired: dict[TimerId, bytes] = {}
        trouble: list[WhenceError] = []

        async def fire_in_order(sequence: list[tuple[TimerId, Timer]]) -> None:
            async with self._limit:
                try:
                    for id_, timer in sequence:
                        check_held(self._reaction, lease)
                        if await self._fire(id_, timer):
                            fired[id_] = timers[id_]
                except TROUBLE as error:
                    trouble.append(error)

        async with anyio.create_task_group() as tasks:
            for sequence in by_target.values():
                tasks.start_soon(fire_in_order, sequence)
        if fired:
            await self._checkpoints.fired(lease, fired)
        if trouble:
            raise trouble[0]
        return len(fired)

    def _ready(
        self, lease: Lease, timers: Mapping[TimerId, bytes]
    ) -> Iterator[tuple[TimerId, Timer]]:
        """Those that may go out: not where an event waits that might cancel it."""
        for id_, data in timers.items():
            if id_.stream in lease.parked or self._failed.get(id_, 0.0) > time.monotonic():
                continue
            try:
                yield id_, decode_timer(id_, data)
            except CorruptStore as error:
                self._postpone(id_, error)

    async def _fire(self, id_: TimerId, timer: Timer) -> bool:
        """Whether the command has its answer. Raises one of TROUBLE."""
        metadata = Metadata(
            who=f"reaction {self._reaction}",
            correlation_id=timer.correlation_id,
            causation_id=timer.cause,
            trace=timer.trace,
            notes={"timer": id_.name},
        )
        try:
            send = timer.send(self._model)
            await self._delivery.send(
                Outgoing(send, timer.command_id, metadata, timer.due_ms * 1000)
            )
        except TROUBLE:
            raise
        except Exception as error:  # of this timer alone, whatever the command raises
            self._postpone(id_, error)
            return False
        self._failed.pop(id_, None)
        return True

    def _postpone(self, id_: TimerId, error: Exception) -> None:
        pause = self._settings.longest_retry_ms / 1000
        self._failed[id_] = time.monotonic() + pause
        log.error(
            "reaction %s cannot send what timer %s was set for, next try in %.1f s: %s",
            self._reaction,
            id_,
            pause,
            error,
            exc_info=error,
        )

    def _look_by(self, partition: int, due_ms: int) -> None:
        at = due_ms / 1000 - self._ahead.get(partition, float("inf"))
        latest = time.monotonic() + _LONGEST_WAIT
        self._look_at[partition] = min(self.look_at(partition), at, latest)
