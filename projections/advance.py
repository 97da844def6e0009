"""The one way in which a view moves on: pointers in, rows and checkpoint committed."""

from collections.abc import Mapping, Sequence
from typing import Any

import anyio.lowlevel

from whence.projections.batch import Batch, Change
from whence.projections.checkpoint import Checkpoints
from whence.projections.fetch import fetch_all
from whence.projections.lease import Lease
from whence.projections.projection import Projection
from whence.store.errors import CorruptStore, LeaseLost, WhenceError
from whence.store.eventstore import EventStore
from whence.store.feed import Pointer
from whence.store.recorded import Recorded


class Advance:
    """Applies pieces of the feeds to the view of one projection.

    Each step is one round trip for all partitions: fetch the events, load the rows that updates
    start from, commit.
    """

    def __init__(
        self, store: EventStore, projection: Projection[Any], checkpoints: Checkpoints
    ) -> None:
        self._store = store
        self._projection = projection
        self._checkpoints = checkpoints

    async def apply(
        self, pieces: Sequence[tuple[Lease, Sequence[Pointer]]]
    ) -> tuple[dict[int, int], dict[int, WhenceError]]:
        """Apply the events behind the pointers, which follow on from the position of each lease.

        Returns:
            How many events were committed, and what ended a partition's piece early: LeaseLost,
            ProjectionFailed, CorruptStore or ServerRefused. Both by partition; a partition may be
            in both.

        Raises:
            ConnectionLost, StoreUnavailable, ServerRefused: no answer; what was committed is
                unknown, and only a new lease tells.
        """
        leases = {lease.partition: lease for lease, _ in pieces}
        errors: dict[int, WhenceError] = {}
        fetched = await fetch_all(self._store, {lease.partition: p for lease, p in pieces})
        batches = await self._batches(fetched, errors)
        changes = await self._changes(batches, errors)
        current: list[tuple[Lease, Change]] = []
        for partition, change in changes.items():
            if leases[partition].ended:
                errors[partition] = LeaseLost(self._projection.name, partition)
            else:
                current.append((leases[partition], change))
        done: dict[int, int] = {}
        outcomes = await self._checkpoints.commit(current)
        for (lease, change), error in zip(current, outcomes, strict=True):
            if error is None:
                done[lease.partition] = change.events
            else:
                errors[lease.partition] = error
        return done, errors

    async def _batches(
        self,
        fetched: Mapping[int, list[Recorded] | CorruptStore],
        errors: dict[int, WhenceError],
    ) -> dict[int, Batch]:
        batches: dict[int, Batch] = {}
        for partition, records in fetched.items():
            if isinstance(records, CorruptStore):
                errors[partition] = records
            else:
                batches[partition] = Batch(self._projection, records)
                # Handlers hold up the event loop; the leases have to be renewed meanwhile.
                await anyio.lowlevel.checkpoint()
        return batches

    async def _changes(
        self, batches: Mapping[int, Batch], errors: dict[int, WhenceError]
    ) -> dict[int, Change]:
        wanted = {partition: list(batch.wanted) for partition, batch in batches.items()}
        stored = await self._load(wanted)
        changes: dict[int, Change] = {}
        for partition, batch in batches.items():
            change = batch.settle(stored[partition])
            if change is not None:
                changes[partition] = change
            if batch.failure is not None:
                errors[partition] = batch.failure
            await anyio.lowlevel.checkpoint()
        return changes

    async def _load(
        self, wanted: Mapping[int, Sequence[str]]
    ) -> dict[int, dict[str, bytes | None]]:
        asked = {partition: keys for partition, keys in wanted.items() if keys}
        replies = await self._store.ask_many(
            [
                ("HMGET", self._store.keys.view(partition, self._projection.name), *keys)
                for partition, keys in asked.items()
            ]
        )
        rows: dict[int, dict[str, bytes | None]] = {partition: {} for partition in wanted}
        for (partition, keys), reply in zip(asked.items(), replies, strict=True):
            rows[partition] = dict(zip(keys, reply, strict=True))
        return rows
