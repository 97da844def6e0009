"""The seam between following the log and where a view is kept: Redis, or a SQL database."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from whence.projections.batch import Change, Refused
from whence.projections.checkpoint import Checkpoints
from whence.projections.lease import Lease
from whence.projections.projection import Projector, in_redis
from whence.store.errors import WhenceError
from whence.store.eventstore import EventStore
from whence.store.wire import Wire


class Ledger(Protocol):
    """View and checkpoint of one projection, which move on together or not at all.

    Every method raises ConnectionLost, StoreUnavailable or ServerRefused when an answer is lost:
    then the checkpoint may have moved or not, and only a new lease tells.

    Attributes:
        together: how many partitions move best with one commit, while there is much to do.
    """

    together: int

    async def take(self, leases: Sequence[Lease]) -> Mapping[int, WhenceError]:
        """Begin to work under leases that were just acquired, fencing off all earlier owners.

        Each lease stands afterwards where the view stands. What is wrong is told by partition.
        """
        ...

    async def hold(self, leases: Sequence[Lease]) -> Mapping[int, WhenceError]:
        """As ``take``, and tables are left as they are: other code may have made them."""
        ...

    async def commit(
        self, changes: Sequence[tuple[Lease, Change]]
    ) -> Sequence[WhenceError | Refused | None]:
        """Move views and checkpoints on, each partition for itself.

        Per change: None; Refused when single events of it are at fault; LeaseLost when another
        worker has come since; or what else was wrong. But for None, nothing was written.
        """
        ...

    async def note_failure(self, lease: Lease, failure: str) -> WhenceError | None:
        """Write down why a partition stands still, until its next commit; answers as above."""
        ...

    async def show(self, old: str = "", held: Sequence[Lease] = ()) -> bool:
        """Let those see this generation who read the view with plain SQL.

        False, and then nothing was changed, if one of the leases ``held`` on the generation ``old``
        was lost there.
        """
        ...

    async def clear(self, live: str, *, keep_skips: bool) -> None:
        """Remove what there may be of this generation, which is about to begin.

        With ``keep_skips`` it skips what is skipped in the generation ``live``.
        """
        ...

    async def drop(self, live: str, hold_ms: int) -> None:
        """Remove all that there is of this generation, for good.

        Nobody takes a partition of it for ``hold_ms`` milliseconds. Who still sees it with plain
        SQL, for a switch was broken off, sees the generation ``live`` from then on.
        """
        ...

    async def close(self) -> None:
        """Let go of what was opened; the wire is the caller's."""
        ...


def ledger_of(store: EventStore, projection: Projector, wire: Wire) -> Ledger:
    """Where this projection's view is kept.

    Raises:
        InvalidSetting: it is on a SQL database, and was not told which.
    """
    if in_redis(projection):
        return Checkpoints(store, projection.name, wire)
    from whence.projections.sqlledger import SqlLedger  # noqa: PLC0415  # an extra

    return SqlLedger(store, projection, wire)
