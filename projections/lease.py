"""The right to work on a partition: held by one worker at a time, and fenced by an epoch."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from whence.projections.notes import Note, Skipped, parse_notes
from whence.store.errors import CorruptStore
from whence.store.eventstore import EventStore
from whence.store.ids import StreamId
from whence.store.script import Script, ScriptCall, answers_of
from whence.store.wire import Reply, Wire

_LUA = Path(__file__).parent / "lua"
ACQUIRE = Script.read(_LUA / "acquire.lua")
RENEW = Script.read(_LUA / "renew.lua")
RELEASE = Script.read(_LUA / "release.lua")


@dataclass(slots=True)
class Lease:
    """A partition that this worker owns for now, and the checkpoint of its view.

    ``epoch`` is higher for each owner, and after each commit that leaves the position as it is.
    ``parked`` are the sequences that wait, ``skipped`` the events that a person has skipped.
    ``log`` is the uuid of the store that the view was made from. ``ends_at`` is a reading of
    ``time.monotonic()``, in seconds: the worker stops before it, and the epoch would stop it then.
    ``halted`` is for good: the partition is tried again under a new lease, with all its checks.
    ``leaving`` is one that another worker is to have, as soon as what is under way has ended.
    ``fence`` is the epoch in the database of a SQL view, which counts its own.
    """

    partition: int
    epoch: int
    position: int
    anchor: str
    log: str
    ends_at: float
    halted: bool = False
    leaving: bool = False
    parked: dict[StreamId, Note] = field(default_factory=dict[StreamId, Note])
    skipped: set[Skipped] = field(default_factory=set[Skipped])
    fence: int = 0

    @property
    def ended(self) -> bool:
        return time.monotonic() >= self.ends_at

    @property
    def active(self) -> bool:
        return not (self.halted or self.ended)


class Leases:
    """What one worker does with the leases of one projection.

    Args:
        owner: names the worker; no other worker has the same.
        ttl_ms: how long a lease lasts without a renewal.
        wire: the calls of one task go through it in their order.

    Every method raises ConnectionLost, StoreUnavailable or ServerRefused when it has no answer.
    """

    def __init__(
        self, store: EventStore, projection: str, owner: str, ttl_ms: int, wire: Wire
    ) -> None:
        self._keys = store.keys
        self._log = store.identity.uuid
        self._projection = projection
        self._owner = owner
        self._ttl_ms = ttl_ms
        self._where = store.address.shown
        self._wire = wire

    async def acquire(self, partitions: Iterable[int], *, force: bool = False) -> list[Lease]:
        """Those of the partitions that were free, or this worker's own; all of them by force.

        Each acquisition fences off the owner before, this worker's own earlier lease included.
        """
        wanted = list(partitions)
        ends_at = self._end()
        mode = "force" if force else "free"
        calls = [
            ScriptCall(
                ACQUIRE,
                [
                    self._keys.lease(partition, self._projection),
                    self._keys.checkpoint(partition, self._projection),
                    self._keys.view(partition, self._projection),
                    self._keys.parked(partition, self._projection),
                    self._keys.skipped(partition, self._projection),
                    self._keys.index(partition, self._projection),
                ],
                [self._owner, self._ttl_ms, self._log, mode],
            )
            for partition in wanted
        ]
        leases: list[Lease] = []
        for partition, answer in zip(wanted, await self._run(calls), strict=True):
            match answer:
                case [b"acquired", *granted]:
                    leases.append(_granted(partition, granted, ends_at))
                case [b"held", _]:
                    pass
                case _:
                    raise CorruptStore(f"acquire.lua answered {answer!r}")
        return leases

    async def renew(self, leases: Sequence[Lease]) -> list[Lease]:
        """Extend the leases in one round trip; those that were lost are returned."""
        ends_at = self._end()
        calls = [
            ScriptCall(
                RENEW,
                [self._keys.lease(lease.partition, self._projection)],
                [self._owner, self._ttl_ms],
            )
            for lease in leases
        ]
        lost: list[Lease] = []
        for lease, answer in zip(leases, await self._run(calls), strict=True):
            if answer[0] == b"renewed":
                lease.ends_at = ends_at
            else:
                lost.append(lease)
        return lost

    async def release(self, partitions: Iterable[int]) -> None:
        """Give back the leases that are still this worker's own."""
        calls = [
            ScriptCall(RELEASE, [self._keys.lease(partition, self._projection)], [self._owner])
            for partition in partitions
        ]
        await self._run(calls)

    def _end(self) -> float:
        # Taken before the call is sent, so it lies before the end that the server counts from.
        return time.monotonic() + self._ttl_ms / 1000

    async def _run(self, calls: Sequence[ScriptCall]) -> list[Reply]:
        return await answers_of(self._wire, self._where, calls)


def _granted(partition: int, answer: list[Any], ends_at: float) -> Lease:
    epoch, position, anchor, log, notes, skips = answer
    return Lease(
        partition,
        epoch,
        int(position),
        anchor.decode(),
        log.decode(),
        ends_at,
        parked={stream: note for stream, (_, note) in parse_notes(notes).items()},
        skipped={Skipped.parse(event) for event in skips},
    )
