"""The one way in which a view moves on: pointers in, rows and checkpoint committed."""

import logging
from collections.abc import Mapping, Sequence

import anyio.lowlevel

from whence.projections.batch import Batch, Change, Refused
from whence.projections.fetch import fetch_all
from whence.projections.lease import Lease
from whence.projections.ledger import Ledger
from whence.projections.projection import Projector
from whence.projections.settings import WorkerSettings
from whence.store.errors import CorruptStore, LeaseLost, WhenceError
from whence.store.eventstore import EventStore
from whence.store.feed import Piece, Pointer

log = logging.getLogger("whence.projections")

_DEFAULTS = WorkerSettings()


class Advance:
    """Applies pieces of the feeds to the view of one projection.

    Each step is one round trip for all partitions: fetch the events, load the rows that updates
    start from, commit.
    """

    def __init__(
        self,
        store: EventStore,
        projection: Projector,
        ledger: Ledger,
        settings: WorkerSettings = _DEFAULTS,
    ) -> None:
        self._store = store
        self._projection = projection
        self._ledger = ledger
        self._most_parked = settings.most_parked if projection.on_failure == "park" else 0

    async def apply(
        self, pieces: Sequence[tuple[Lease, Sequence[Pointer]]]
    ) -> tuple[dict[int, int], dict[int, WhenceError]]:
        """Apply the events behind the pointers, which follow on from the position of each lease.

        Those of parked streams are passed: they wait in their stream. What cannot be applied is
        parked with the same commit, or ends the partition's piece, as the projection has it.

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
        await self._store.load({lease.partition: p for lease, p in pieces if isinstance(p, Piece)})
        batches = await self._batches(pieces, errors)
        changes = await self._changes(batches, errors)
        current: list[tuple[Lease, Change]] = []
        for partition, change in changes.items():
            if leases[partition].ended:
                errors[partition] = LeaseLost(self._projection.name, partition)
            else:
                current.append((leases[partition], change))
        done: dict[int, int] = {}
        while current:
            current = await self._commit(current, batches, done, errors)
        return done, errors

    async def _commit(
        self,
        changes: Sequence[tuple[Lease, Change]],
        batches: Mapping[int, Batch],
        done: dict[int, int],
        errors: dict[int, WhenceError],
    ) -> list[tuple[Lease, Change]]:
        """Returns what to commit instead, for the batches of which an event was refused."""
        again: list[tuple[Lease, Change]] = []
        outcomes = await self._ledger.commit(changes)
        for (lease, change), outcome in zip(changes, outcomes, strict=True):
            partition, batch = lease.partition, batches[lease.partition]
            if outcome is None:
                done[partition] = change.events
                self._report(batch)
            elif isinstance(outcome, Refused):
                batch.refuse(outcome)
                left = batch.settle({})
                if left is not None:
                    again.append((lease, left))
                if batch.failure is not None:
                    errors[partition] = batch.failure
            else:
                errors[partition] = outcome
        return again

    async def _batches(
        self,
        pieces: Sequence[tuple[Lease, Sequence[Pointer]]],
        errors: dict[int, WhenceError],
    ) -> dict[int, Batch]:
        batches: dict[int, Batch] = {}
        for lease, pointers in pieces:
            partition = lease.partition
            records = (await fetch_all(self._store, {partition: pointers}))[partition]
            if isinstance(records, CorruptStore):
                errors[partition] = records
            else:
                batches[partition] = Batch(
                    self._projection,
                    records,
                    parked=lease.parked,
                    skipped=lease.skipped,
                    room=max(0, self._most_parked - len(lease.parked)),
                )
            # Reading and handlers hold up the event loop; the leases have to be renewed meanwhile,
            # and the next events to be asked for.
            await anyio.lowlevel.checkpoint()
        return batches

    async def _changes(
        self, batches: Mapping[int, Batch], errors: dict[int, WhenceError]
    ) -> dict[int, Change]:
        wanted = {partition: list(batch.wanted) for partition, batch in batches.items()}
        stored = await load_rows(self._store, self._projection, wanted)
        changes: dict[int, Change] = {}
        for partition, batch in batches.items():
            change = batch.settle(stored[partition])
            if change is not None:
                changes[partition] = change
            if batch.failure is not None:
                errors[partition] = batch.failure
            await anyio.lowlevel.checkpoint()
        return changes

    def _report(self, batch: Batch) -> None:
        """Nothing is set aside in silence."""
        for stream, note in batch.parked.items():
            log.error(
                "projection %s has parked %s from version %d on, and goes on without it: %s",
                self._projection.name,
                stream,
                note.version,
                note.reason,
                exc_info=batch.errors[stream],
            )


async def load_rows(
    store: EventStore, projection: Projector, wanted: Mapping[int, Sequence[str]]
) -> dict[int, dict[str, bytes | None]]:
    """The stored rows of these keys, by partition; None where there is none. One round trip.

    Raises:
        StoreUnavailable, ServerRefused: the server cannot be read.
    """
    asked = {partition: keys for partition, keys in wanted.items() if keys}
    replies = await store.ask_many(
        [
            ("HMGET", store.keys.view(partition, projection.name), *keys)
            for partition, keys in asked.items()
        ]
    )
    rows: dict[int, dict[str, bytes | None]] = {partition: {} for partition in wanted}
    for (partition, keys), reply in zip(asked.items(), replies, strict=True):
        rows[partition] = dict(zip(keys, reply, strict=True))
    return rows
