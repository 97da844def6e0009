"""Group commit: while one call to the store is under way, the next appends collect."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice

import msgspec

from whence.actors.metrics import Histogram
from whence.store.append import Append, Outcome, size_of
from whence.store.appender import Deliver, Outcomes
from whence.store.errors import OutcomeUnknown, StoreUnavailable
from whence.store.eventstore import EventStore
from whence.store.wire import settle

# Two calls under way keep both this process and the server busy; see ARCHITECTURE.md.
CALLS_UNDER_WAY = 2
MAX_APPENDS_PER_CALL = 256
MAX_EVENTS_PER_CALL = 2_000
MAX_BYTES_PER_CALL = 4_000_000
# Fewer rows than this are not divided: a call has a price of its own.
MIN_SHARE = 32


class _Waiting(msgspec.Struct, frozen=True):
    """A row with its number of events and its size in bytes, and who waits for its outcomes."""

    row: Sequence[Append]
    events: int
    size: int
    done: Deliver


class GroupCommit:
    """Sends the appends of many actors together: one script call, one disk write.

    Nobody waits for a group to fill: what is there goes out as soon as a call may start. In a
    Cluster each partition has groups of its own, so a server that is away keeps nobody from the
    others.

    Args:
        call_appends: is told how many appends each call has.
        held: how many commands wait in this process. A row of all of them waits for no others.
    """

    def __init__(
        self, store: EventStore, call_appends: Histogram, held: Callable[[], int] = lambda: 0
    ) -> None:
        self._store = store
        self._call_appends = call_appends
        self._held = held
        self._lanes: dict[int, _Lane] = {}

    def submit(self, row: Sequence[Append], events: int, size: int, done: Deliver) -> None:
        """Append a row of one stream, each append following on from the last, in the next group.

        Args:
            events: how many the row has.
            size: of the row, in bytes; see ``size_of``.
            done: gets the outcomes of the row in its order, or the error that all of the call had.
        """
        number = self._store.lane(row[0].stream)
        lane = self._lanes.get(number)
        if lane is None:
            lane = self._lanes[number] = _Lane(self._store, self._call_appends)
        lane.submit(_Waiting(row, events, size, done), at_once=len(row) == self._held())

    async def append(self, row: Sequence[Append]) -> Sequence[Outcome | Exception]:
        """``submit``, and wait. Raises like ``EventStore.append_many``."""
        outcomes: asyncio.Future[list[Outcome | Exception]]
        outcomes = asyncio.get_running_loop().create_future()
        events = sum([len(append.events) for append in row])
        self.submit(row, events, sum(map(size_of, row)), partial(settle, outcomes))
        return await outcomes


class _Lane:
    """The appends that may go out in one call, and the calls with which they do."""

    def __init__(self, store: EventStore, call_appends: Histogram) -> None:
        self._store = store
        self._call_appends = call_appends
        self._waiting: deque[_Waiting] = deque()
        self._under_way = 0
        self._begins = False  # soon, when all who have something to send have come

    def submit(self, waiting: _Waiting, *, at_once: bool) -> None:
        """``at_once``: all commands of this process are in this row, so nothing else is here."""
        if at_once:
            self._send([waiting])
            return
        self._waiting.append(waiting)
        if not self._begins:
            self._begins = True
            asyncio.get_running_loop().call_soon(self._send_groups)

    def _send_groups(self) -> None:
        self._begins = False
        while self._waiting and self._under_way < CALLS_UNDER_WAY:
            self._send(self._next_group())

    def _send(self, group: list[_Waiting]) -> None:
        appends = [append for waiting in group for append in waiting.row]
        self._call_appends.add(len(appends))
        self._under_way += 1
        self._store.submit(appends, partial(self._answered, group))

    def _answered(self, group: list[_Waiting], outcomes: Outcomes) -> None:
        self._under_way -= 1
        if isinstance(outcomes, (OutcomeUnknown, StoreUnavailable)):
            self._give_up(outcomes)
        # First the next group: the server works on it while this process works on these answers.
        self._send_groups()
        start = 0
        for waiting in group:
            end = start + len(waiting.row)
            _tell(waiting, outcomes if isinstance(outcomes, Exception) else outcomes[start:end])
            start = end

    def _next_group(self) -> list[_Waiting]:
        """Whole rows: as many as one call may hold, and no more than its share of the waiting.

        When no call is under way, two halves go out one after the other: this process then works on
        the answers to the first while the server works on the second.
        """
        free = CALLS_UNDER_WAY - self._under_way
        share = max(len(self._waiting) // free, MIN_SHARE)
        count = appends = events = size = 0
        for waiting in islice(self._waiting, share):
            appends += len(waiting.row)
            events += waiting.events
            size += waiting.size
            # A script that runs long keeps everybody waiting.
            if (
                appends > MAX_APPENDS_PER_CALL
                or events > MAX_EVENTS_PER_CALL
                or size > MAX_BYTES_PER_CALL
            ):
                break
            count += 1
        # One row goes, whatever it has.
        return [self._waiting.popleft() for _ in range(count or 1)]

    def _give_up(self, error: Exception) -> None:
        """Refuse what waits behind a call that tried for as long as it may, instead of trying on.

        Nothing of it was sent, so it is safe to try again.
        """
        unavailable = StoreUnavailable(self._store.address.shown, str(error))
        given_up, self._waiting = self._waiting, deque()
        for waiting in given_up:
            _tell(waiting, unavailable)


def _tell(waiting: _Waiting, outcomes: Outcomes) -> None:
    """What one actor makes of its outcomes does not keep others from theirs."""
    try:
        waiting.done(outcomes)
    except Exception as error:  # a defect, whatever it is
        asyncio.get_running_loop().call_exception_handler(
            {"message": "an actor failed on the outcomes of its row", "exception": error}
        )
