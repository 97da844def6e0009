"""Parked sequences of a reaction that are tried again: it is time to, or somebody asked."""

import logging
import time
from collections.abc import Sequence
from itertools import takewhile

from whence.projections.batch import Change
from whence.projections.fetch import Fetched, read_sequence
from whence.projections.lease import Lease
from whence.projections.notes import Asked, Note, Skip, Skipped, parse_requests
from whence.projections.settings import WorkerSettings
from whence.reactions.checkpoint import Checkpoints
from whence.reactions.reactor import Reactor, Timers
from whence.reactions.work import Work
from whence.store.errors import CorruptStore
from whence.store.eventstore import EventStore
from whence.store.ids import StreamId

log = logging.getLogger("whence.reactions")


class Retries:
    """What one follower does for the sequences that are parked in its partitions.

    They are worked on in pieces, each with a commit of its own that moves the note on, so the feed
    need not wait for a long one. A note that says "0 attempts" is one that a piece has moved: who
    finds it goes on.
    """

    def __init__(
        self,
        store: EventStore,
        reactor: Reactor,
        checkpoints: Checkpoints,
        settings: WorkerSettings,
    ) -> None:
        self._store = store
        self._reactor = reactor
        self._name = reactor.reaction.name
        self._checkpoints = checkpoints
        self._settings = settings
        self._due: dict[StreamId, float] = {}  # readings of time.monotonic()
        self._asked: dict[int, dict[StreamId, Asked]] = {}
        self._known: set[StreamId] = set()
        self._inherited: set[StreamId] = set()

    def inherit(self, leases: Sequence[Lease]) -> None:
        """Try each sequence once that another worker has left parked: perhaps by other code."""
        for lease in leases:
            self._inherited |= lease.parked.keys() - self._known

    async def look(self, leases: Sequence[Lease]) -> None:
        """Find out what was asked for: one round trip if anything is parked, none otherwise.

        Raises:
            StoreUnavailable, ServerRefused: the server cannot be read.
            CorruptStore: a request is none of ours.
        """
        parked = [lease for lease in leases if lease.parked and lease.active]
        self._known = {stream for lease in parked for stream in lease.parked}
        self._inherited &= self._known
        self._due = {stream: at for stream, at in self._due.items() if stream in self._known}
        keys = self._store.keys
        replies = await self._store.ask_many(
            [("HGETALL", keys.asked(lease.partition, self._name)) for lease in parked]
        )
        self._asked = {
            lease.partition: parse_requests(reply)
            for lease, reply in zip(parked, replies, strict=True)
        }

    def due(self, lease: Lease) -> StreamId | None:
        """A sequence of this partition that is to be tried now, if there is one."""
        asked = self._asked.get(lease.partition, {})
        for stream, note in lease.parked.items():
            if stream in asked or self._is_due(stream, note):
                return stream
        return None

    async def step(self, lease: Lease, stream: StreamId) -> Timers:
        """Work on a piece of one sequence, and commit it; returns what it has made of timers.

        Raises:
            LeaseLost: another worker has come since.
            CorruptStore: what is parked is not in the log.
            one of TROUBLE: no answer for now, try again.
        """
        note = lease.parked[stream]
        asked = self._asked.get(lease.partition, {}).pop(stream, None)
        self._inherited.discard(stream)
        change, timers = await self._change(lease, stream, note, asked)
        await self._checkpoints.commit(lease, change, timers)
        self._due.pop(stream, None)
        for event, skip in change.skips.items():
            log.warning(
                "reaction %s goes on without %s, skipped by %s: %s",
                self._name,
                event,
                skip.by,
                skip.reason,
            )
        if stream not in lease.parked:
            log.info("reaction %s has handled all of %s again", self._name, stream)
        return timers

    async def _change(
        self, lease: Lease, stream: StreamId, note: Note, asked: Asked | None
    ) -> tuple[Change, Timers]:
        answered = {} if asked is None else {stream: asked.data}
        nothing = Change({}, 0, lease.position, lease.anchor, answered=answered)
        skip = asked.request if asked is not None and asked.request.action == "skip" else None
        if skip is not None and skip.version != note.version:
            return nothing, {}  # it is another event by now than the one that was to be skipped
        first = note.version if skip is None else note.version + 1
        found = await read_sequence(self._store, stream, first, self._settings.batch + 1)
        # Up to the checkpoint and not a version further; damaged bytes do not tell their position.
        waiting = list(takewhile(lambda event: event.position <= lease.position, found))
        if not waiting and skip is None:
            raise CorruptStore(
                f"version {note.version} of {stream} is parked by reaction {self._name} and is not "
                "in the log: events were lost on the server"
            )
        after, timers = await self._work(lease, stream, note, waiting)
        skipped: dict[Skipped, Skip] = {}
        if skip is not None:
            record = Skip(note.position, note.type, note.reason, skip.reason, skip.by)
            skipped[Skipped(stream, note.version)] = record
        return nothing._replace(notes={stream: after}, skips=skipped), timers

    async def _work(
        self, lease: Lease, stream: StreamId, note: Note, waiting: Sequence[Fetched]
    ) -> tuple[Note | None, Timers]:
        """The note of what still waits after a piece of these, and the timers of the others."""
        piece = waiting[: self._settings.batch]
        work = Work(self._reactor, lease, piece, parked=(), room=1)
        await work.run()
        if work.failure is not None:  # trouble: all of it is tried again
            raise work.failure
        outcome = work.outcome()
        timers: Timers = {} if outcome is None else outcome[1]
        failed = work.parked.get(stream)
        if failed is not None:
            return failed.failed_again(note), timers
        if len(piece) < len(waiting):
            following = waiting[len(piece)]
            moved = Note(
                following.version, following.position, following.type, note.reason, attempts=0
            )
            return moved, timers
        return None, timers

    def _is_due(self, stream: StreamId, note: Note) -> bool:
        """Whether its pause is over; it is counted from when this follower first saw the note."""
        if stream in self._inherited or not note.attempts:
            return True
        if note.attempts >= self._settings.attempts:
            return False
        pause = min(
            self._settings.retry_ms * 2 ** (note.attempts - 1), self._settings.longest_retry_ms
        )
        return self._due.setdefault(stream, time.monotonic() + pause / 1000) <= time.monotonic()
