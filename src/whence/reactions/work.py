"""A piece of a feed, or of a parked sequence, as a reaction works on it: events in, answers out."""

import logging
from collections.abc import Collection, Iterable, Sequence

import anyio

from whence.projections.batch import Change
from whence.projections.fetch import Fetched
from whence.projections.lease import Lease
from whence.projections.notes import Note
from whence.reactions.delivery import TROUBLE
from whence.reactions.reactor import Reactor, Timers
from whence.store.errors import ReactionFailed, WhenceError
from whence.store.ids import StreamId

log = logging.getLogger("whence.reactions")


class Work:
    """Works on events of one partition: those of an aggregate in their order, others beside them.

    An event that fails parks its stream from there on, and all others go on: ``parked`` says which,
    and why. Where there is no room to park it, or where there is trouble, it ends the piece before
    it: ``failure`` says why, and the events before it still count.

    Args:
        parked: streams whose events wait already.
        room: how many more streams may be parked.
    """

    def __init__(
        self,
        reactor: Reactor,
        lease: Lease,
        events: Sequence[Fetched],
        *,
        parked: Collection[StreamId],
        room: int,
    ) -> None:
        self.failure: WhenceError | None = None
        self.parked: dict[StreamId, Note] = {}
        self._errors: dict[StreamId, Exception] = {}  # what was raised, of those that are parked
        self._reactor = reactor
        self._lease = lease
        self._events = events
        self._waiting = parked
        self._room = room
        self._end = len(events)  # those from here on do not count
        self._done: dict[int, Timers] = {}
        self._parked_at: dict[StreamId, int] = {}

    async def run(self) -> None:
        """Work until each event is done, parked, or behind the end."""
        by_stream: dict[StreamId, list[int]] = {}
        for number, event in enumerate(self._events):
            if (
                event.stream in self._waiting
                or (event.stream, event.version) in self._lease.skipped
            ):
                continue
            if self._reactor.concerns(event):
                by_stream.setdefault(event.stream, []).append(number)
        async with anyio.create_task_group() as tasks:
            for numbers in by_stream.values():
                tasks.start_soon(self._sequence, numbers)

    def outcome(self) -> tuple[Change, Timers] | None:
        """What to commit; None when not even one event can be passed."""
        if not self._end:
            return None
        last = self._events[self._end - 1]
        timers: Timers = {}
        for number in sorted(self._done):
            if number < self._end:
                timers |= self._done[number]
        notes = {s: n for s, n in self.parked.items() if self._parked_at[s] < self._end}
        return Change({}, self._end, last.position, last.anchor, notes), timers

    def report(self, streams: Iterable[StreamId]) -> None:
        """Nothing is set aside in silence."""
        for stream in streams:
            log.error(
                "reaction %s has parked %s from version %d on, and goes on without it: %s",
                self._reactor.reaction.name,
                stream,
                self.parked[stream].version,
                self.parked[stream].reason,
                exc_info=self._errors[stream],
            )

    async def _sequence(self, numbers: Sequence[int]) -> None:
        async with self._reactor.limit:
            for number in numbers:
                if number >= self._end:
                    return
                event = self._events[number]
                try:
                    self._done[number] = await self._reactor.react(self._lease, event)
                except TROUBLE as error:
                    self._end_before(number, error)
                    return
                except Exception as error:  # whatever a handler or a command raises
                    self._park(number, event, error)
                    return

    def _park(self, number: int, event: Fetched, error: Exception) -> None:
        if len(self.parked) >= self._room:
            self._end_before(number, self._failed(event, error))
            return
        self.parked[event.stream] = Note.of(event, error)
        self._errors[event.stream] = error
        self._parked_at[event.stream] = number

    def _end_before(self, number: int, failure: WhenceError) -> None:
        if number < self._end:
            self._end = number
            self.failure = failure

    def _failed(self, event: Fetched, error: Exception) -> ReactionFailed:
        why = f"{type(error).__name__}: {error}"
        parked = len(self._waiting) + len(self.parked)
        if parked:
            why += f"; {parked} aggregates of this partition are parked, and no more of them may be"
        failure = ReactionFailed(
            self._reactor.reaction.name,
            event.partition,
            event.position,
            f"{event.type or 'an event'}, version {event.version} of {event.stream}",
            why,
        )
        failure.__cause__ = error
        return failure
