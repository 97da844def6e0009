"""Parked sequences that are tried again: because it is time to, or because somebody asked."""

import logging
import time
from collections.abc import Sequence
from itertools import takewhile
from typing import NamedTuple

from whence.projections.advance import load_rows
from whence.projections.batch import Batch, Change, Refused
from whence.projections.fetch import Fetched, read_sequence
from whence.projections.lease import Lease
from whence.projections.ledger import Ledger
from whence.projections.notes import Asked, Note, Skip, Skipped, parse_requests
from whence.projections.projection import Projector
from whence.projections.settings import WorkerSettings
from whence.store.errors import CorruptStore, LeaseLost, WhenceError
from whence.store.eventstore import EventStore
from whence.store.ids import StreamId

log = logging.getLogger("whence.projections")


class _Retry(NamedTuple):
    lease: Lease
    asked: Asked | None


class Retries:
    """What one follower does for the sequences that are parked in its partitions.

    They are applied in pieces, each with a commit of its own that moves the note on, so the feed
    need not wait for a long one. A note that says "0 attempts" is one that a piece has moved: who
    finds it goes on.
    """

    def __init__(
        self,
        store: EventStore,
        projection: Projector,
        ledger: Ledger,
        settings: WorkerSettings,
    ) -> None:
        self._store = store
        self._projection = projection
        self._ledger = ledger
        self._settings = settings
        self._running: dict[StreamId, _Retry] = {}
        self._due: dict[StreamId, float] = {}  # readings of time.monotonic()
        self._known: set[StreamId] = set()
        self._inherited: set[StreamId] = set()

    @property
    def running(self) -> bool:
        """Whether there is something to do now."""
        return bool(self._running)

    def inherit(self, leases: Sequence[Lease]) -> None:
        """Try each sequence once that another worker has left parked: it ran other code, perhaps.

        So a release that mends a handler, or knows a new event, mends the view by being started.
        """
        for lease in leases:
            self._inherited |= lease.parked.keys() - self._known

    async def look(self, leases: Sequence[Lease]) -> None:
        """Find out what is to be tried: one round trip if anything is parked, none otherwise.

        Raises:
            StoreUnavailable, ServerRefused: the server cannot be read.
            CorruptStore: a request is none of ours.
        """
        self._running.clear()
        parked = [lease for lease in leases if lease.parked and lease.active]
        self._known = {stream for lease in parked for stream in lease.parked}
        self._inherited &= self._known
        self._due = {stream: at for stream, at in self._due.items() if stream in self._known}
        name = self._projection.name
        replies = await self._store.ask_many(
            [("HGETALL", self._store.keys.asked(lease.partition, name)) for lease in parked]
        )
        for lease, reply in zip(parked, replies, strict=True):
            requests = parse_requests(reply)
            for stream, note in lease.parked.items():
                asked = requests.get(stream)
                if asked is not None or self._is_due(stream, note):
                    self._running[stream] = _Retry(lease, asked)

    async def step(self) -> dict[int, WhenceError]:
        """Apply a piece of one sequence; what went wrong with its partition, if anything did.

        Raises:
            ConnectionLost, StoreUnavailable, ServerRefused: no answer; only a new lease tells.
        """
        stream, retry = next(iter(self._running.items()))
        lease = retry.lease
        note = lease.parked.get(stream)
        if note is None or not lease.active:
            del self._running[stream]
            return {}
        refused = Refused({})
        while True:
            try:
                change = await self._change(lease, stream, note, retry.asked, refused)
            except CorruptStore as error:
                del self._running[stream]
                return {lease.partition: error}
            if lease.ended:
                return {lease.partition: LeaseLost(self._projection.name, lease.partition)}
            (outcome,) = await self._ledger.commit([(lease, change)])
            if outcome is None:
                self._after(lease, stream, change)
                return {}
            if not isinstance(outcome, Refused):
                del self._running[stream]
                return {lease.partition: outcome}
            refused = Refused({**refused.errors, **outcome.errors})

    async def _change(
        self,
        lease: Lease,
        stream: StreamId,
        note: Note,
        asked: Asked | None,
        refused: Refused,
    ) -> Change:
        """What a piece of a parked sequence makes of the view, without what a database refuses.

        Raises CorruptStore.
        """
        answered = {} if asked is None else {stream: asked.data}
        nothing = Change({}, 0, lease.position, lease.anchor, answered=answered)
        skip = asked.request if asked is not None and asked.request.action == "skip" else None
        if skip is not None and skip.version != note.version:
            return nothing  # it is another event by now than the one that was to be skipped
        first = note.version if skip is None else note.version + 1
        found = await read_sequence(self._store, stream, first, self._settings.batch + 1)
        # Up to the checkpoint and not a version further; damaged bytes do not tell their position.
        waiting = list(takewhile(lambda event: event.position <= lease.position, found))
        if not waiting and skip is None:
            raise CorruptStore(
                f"version {note.version} of {stream} is parked by projection "
                f"{self._projection.name} and is not in the log: events were lost on the server"
            )
        made, note_after = await self._apply(lease, stream, note, waiting, refused)
        skipped: dict[Skipped, Skip] = {}
        if skip is not None:
            record = Skip(note.position, note.type, note.reason, skip.reason, skip.by)
            skipped[Skipped(stream, note.version)] = record
        change = nothing._replace(notes={stream: note_after}, skips=skipped)
        return (
            change
            if made is None
            else change._replace(rows=made.rows, steps=made.steps, entries=made.entries)
        )

    async def _apply(
        self,
        lease: Lease,
        stream: StreamId,
        note: Note,
        waiting: Sequence[Fetched],
        refused: Refused,
    ) -> tuple[Change | None, Note | None]:
        """What a piece of these events changes, and the note of what then still waits."""
        piece = waiting[: self._settings.batch]
        batch = Batch(self._projection, piece, skipped=lease.skipped, room=1)
        batch.refuse(refused)
        stored = await load_rows(
            self._store, self._projection, {lease.partition: list(batch.wanted)}
        )
        change = batch.settle(stored[lease.partition])
        failed = batch.parked.get(stream)
        if failed is not None:
            return change, failed.failed_again(note)
        if len(piece) < len(waiting):
            following = waiting[len(piece)]
            return change, Note(
                following.version, following.position, following.type, note.reason, attempts=0
            )
        return change, None

    def _after(self, lease: Lease, stream: StreamId, change: Change) -> None:
        note = lease.parked.get(stream)
        for event, skip in change.skips.items():
            log.warning(
                "projection %s goes on without %s, skipped by %s: %s",
                self._projection.name,
                event,
                skip.by,
                skip.reason,
            )
        if note is None:
            log.info("projection %s has applied all of %s again", self._projection.name, stream)
        if note is not None and not note.attempts:
            self._running[stream] = _Retry(lease, None)
        else:
            del self._running[stream]
            self._due.pop(stream, None)
            self._inherited.discard(stream)

    def _is_due(self, stream: StreamId, note: Note) -> bool:
        """Whether its pause is over; it is counted from when this follower first saw the note."""
        if stream in self._inherited:
            return True
        if note.attempts >= self._settings.attempts:
            return False
        pause = self._settings.retry_ms * 2 ** (note.attempts - 1) if note.attempts else 0
        at = time.monotonic() + min(pause, self._settings.longest_retry_ms) / 1000
        return self._due.setdefault(stream, at) <= time.monotonic()
