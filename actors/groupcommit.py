"""Group commit: while one call to the store is under way, the next appends collect."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

from whence.actors.metrics import Histogram
from whence.store.append import Append, Outcome, size_of
from whence.store.errors import OutcomeUnknown, StoreUnavailable
from whence.store.eventstore import EventStore

# Two calls under way keep both this process and the server busy; see ARCHITECTURE.md.
CALLS_UNDER_WAY = 2
MAX_APPENDS_PER_CALL = 256
MAX_EVENTS_PER_CALL = 2_000
MAX_BYTES_PER_CALL = 4_000_000
# Fewer rows than this are not divided: a call has a price of its own.
MIN_SHARE = 32

# The outcomes of a row in its order, or the error that all of the call had.
Outcomes = Sequence[Outcome | Exception] | Exception


class _Waiting(NamedTuple):
    row: Sequence[Append]
    done: Callable[[Outcomes], None]


class GroupCommit:
    """Sends the appends of many actors together: one script call, one disk write.

    Nobody waits for a group to fill: what is there goes out as soon as a call may start. In a
    Cluster each partition has groups of its own, so a server that is away keeps nobody from the
    others.

    Args:
        call_appends: is told how many appends each call has.
    """

    def __init__(self, store: EventStore, call_appends: Histogram) -> None:
        self._store = store
        self._call_appends = call_appends
        self._lanes: dict[int, _Lane] = {}

    def submit(self, row: Sequence[Append], done: Callable[[Outcomes], None]) -> None:
        """Append a row of one stream, each append following on from the last, in the next group.

        ``done`` is called from the event loop with what ``EventStore.append_many`` returns for the
        row, or with the error that it raises.
        """
        number = self._store.lane(row[0].stream)
        lane = self._lanes.get(number)
        if lane is None:
            lane = self._lanes[number] = _Lane(self._store, self._call_appends)
        lane.submit(row, done)

    async def append(self, row: Sequence[Append]) -> Sequence[Outcome | Exception]:
        """``submit``, and wait. Raises like ``EventStore.append_many``."""
        outcomes: asyncio.Future[Outcomes] = asyncio.get_running_loop().create_future()

        def done(found: Outcomes) -> None:
            if not outcomes.done():  # nobody may be waiting any more
                outcomes.set_result(found)

        self.submit(row, done)
        found = await outcomes
        if isinstance(found, Exception):
            raise found
        return found


class _Lane:
    """The appends that may go out in one call, and the calls with which they do."""

    def __init__(self, store: EventStore, call_appends: Histogram) -> None:
        self._store = store
        self._call_appends = call_appends
        self._waiting: deque[_Waiting] = deque()
        self._senders: set[asyncio.Task[None]] = set()  # the event loop holds tasks only weakly
        self._active = 0  # senders that will look at _waiting again
        self._under_way = 0  # calls that wait for their answer

    def submit(self, row: Sequence[Append], done: Callable[[Outcomes], None]) -> None:
        self._waiting.append(_Waiting(row, done))
        # Not len(self._senders): one that has ended stays in the set until its callback ran, and an
        # append in between would wait for a sender that never comes.
        if self._active < CALLS_UNDER_WAY:
            self._active += 1
            sender = asyncio.create_task(self._send_groups())
            self._senders.add(sender)
            sender.add_done_callback(self._senders.discard)

    async def _send_groups(self) -> None:
        try:
            while self._waiting:
                group = self._next_group()
                self._under_way += 1
                try:
                    await self._send(group)
                finally:
                    self._under_way -= 1
        finally:
            self._active -= 1

    def _next_group(self) -> list[_Waiting]:
        """Whole rows: as many as one call may hold, and no more than its share of the waiting.

        When no call is under way, two halves go out one after the other: this process then works on
        the answers to the first while the server works on the second.
        """
        free = CALLS_UNDER_WAY - self._under_way
        share = max(len(self._waiting) // free, MIN_SHARE)
        group = [self._waiting.popleft()]
        room = _Room(group[0].row)
        while self._waiting and len(group) < share and room.takes(self._waiting[0].row):
            group.append(self._waiting.popleft())
        return group

    async def _send(self, group: list[_Waiting]) -> None:
        # Through the loop: what one actor makes of its outcomes cannot keep others from theirs.
        call_soon = asyncio.get_running_loop().call_soon
        appends = [append for waiting in group for append in waiting.row]
        self._call_appends.add(len(appends))
        try:
            outcomes = await self._store.append_many(appends)
        except Exception as error:  # every caller of the group has to learn of it
            for waiting in group:
                call_soon(waiting.done, error)
            if isinstance(error, (OutcomeUnknown, StoreUnavailable)):
                self._give_up(error)
            return
        start = 0
        for waiting in group:
            call_soon(waiting.done, outcomes[start : start + len(waiting.row)])
            start += len(waiting.row)

    def _give_up(self, error: Exception) -> None:
        """Refuse what waits behind a call that tried for as long as it may, instead of trying on.

        Nothing of it was sent, so it is safe to try again.
        """
        unavailable = StoreUnavailable(self._store.address.shown, str(error))
        while self._waiting:
            asyncio.get_running_loop().call_soon(self._waiting.popleft().done, unavailable)


class _Room:
    """How much more one call may hold: a script that runs long keeps everybody waiting."""

    def __init__(self, first: Sequence[Append]) -> None:
        self._appends = MAX_APPENDS_PER_CALL
        self._events = MAX_EVENTS_PER_CALL
        self._bytes = MAX_BYTES_PER_CALL
        self._occupy(first)

    def takes(self, row: Sequence[Append]) -> bool:
        """Whether a row has room; it is taken off if so."""
        self._occupy(row)
        return self._appends >= 0 and self._events >= 0 and self._bytes >= 0

    def _occupy(self, row: Sequence[Append]) -> None:
        self._appends -= len(row)
        for append in row:
            self._events -= len(append.events)
            self._bytes -= size_of(append)
