"""The workers of one projection: who lives, and which partitions each of them has."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from whence.store.errors import CorruptStore
from whence.store.eventstore import EventStore
from whence.store.script import Script, ScriptCall, answers_of
from whence.store.wire import Wire

_LUA = Path(__file__).parent / "lua"
BEAT = Script.read(_LUA / "beat.lua")
LEAVE = Script.read(_LUA / "leave.lua")


class Muster(NamedTuple):
    """The living ``workers``, and per partition its owner: a worker, or empty where it is free."""

    workers: list[str]
    owners: dict[int, str]


class Membership:
    """The place of one worker among those that share the partitions of a projection.

    Args:
        owner: names the worker; no other worker has the same.
        lease_ms: how long the leases of this worker last.
        wire: the calls of one task go through it in their order.

    Every method raises ConnectionLost, StoreUnavailable or ServerRefused when it has no answer.
    """

    def __init__(
        self, store: EventStore, projection: str, owner: str, lease_ms: int, wire: Wire
    ) -> None:
        self._keys = store.keys
        self._projection = projection
        self._workers = store.keys.workers(projection)
        self._owner = owner
        # A worker says that it lives whenever it renews its leases, after each third of lease_ms,
        # and in between: so one that was killed is dropped no later than its leases end, and
        # they are free for workers that no longer count on it.
        self._patience_ms = max(1, 2 * lease_ms // 3)
        self._where = store.address.shown
        self._wire = wire

    async def muster(self, partitions: Iterable[int]) -> Muster:
        """Say that this worker lives, and see who does and who has what, in one round trip."""
        numbers = list(partitions)
        leases = [("GET", self._keys.lease(number, self._projection)) for number in numbers]
        answer, *owners = await answers_of(self._wire, self._where, [self._beat()], then=leases)
        match answer:
            case [b"living", *workers]:
                found = zip(numbers, owners, strict=True)
                return Muster(
                    [worker.decode() for worker in workers],
                    {number: (owner or b"").decode() for number, owner in found},
                )
            case _:
                raise CorruptStore(f"beat.lua answered {answer!r}")

    async def beat(self) -> None:
        """Say that this worker lives."""
        await answers_of(self._wire, self._where, [self._beat()])

    async def leave(self) -> None:
        """Leave the partitions to the others; a later ``beat`` joins them again."""
        call = ScriptCall(LEAVE, [self._workers], [self._owner])
        await answers_of(self._wire, self._where, [call])

    def _beat(self) -> ScriptCall:
        return ScriptCall(BEAT, [self._workers], [self._owner, self._patience_ms])
