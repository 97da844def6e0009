"""What Redis says of a view that is kept in a SQL database."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from whence.projections.checkpoint import Checkpoints
from whence.projections.lease import Lease
from whence.projections.sqlstanding import Notes
from whence.store.errors import WhenceError
from whence.store.script import Script, ScriptCall
from whence.store.wire import Arg

MIRROR = Script.read(Path(__file__).parent / "lua" / "mirror.lua")


class Mirror(Checkpoints):
    """The checkpoints in Redis of a projection whose rows are elsewhere: behind it, never ahead."""

    async def write(
        self, leases: Sequence[Lease], notes: Mapping[int, Notes]
    ) -> list[WhenceError | None]:
        """Say where these leases stand, and what their partitions go on without."""
        calls = [self._mirror(lease, notes[lease.partition]) for lease in leases]
        outcomes = await self._run(leases, calls)
        for lease, error in zip(leases, outcomes, strict=True):
            if error is None:
                lease.epoch += 1
        return outcomes

    def _mirror(self, lease: Lease, notes: Notes) -> ScriptCall:
        kinds = (self._keys.checkpoint, self._keys.parked, self._keys.skipped)
        keys: list[Arg] = [key(lease.partition, self._projection) for key in kinds]
        standing: list[Arg] = [lease.epoch, lease.position, lease.anchor, lease.log]
        count = len(notes.parked) // 2
        return ScriptCall(MIRROR, keys, [*standing, count, *notes.parked, *notes.skipped])
