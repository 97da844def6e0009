"""Group commit: while one call to the store is under way, the next appends collect."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

from whence.store.append import Append, Outcome
from whence.store.eventstore import EventStore

# Two calls under way keep both this process and the server busy; see ARCHITECTURE.md.
CALLS_UNDER_WAY = 2
MAX_APPENDS_PER_CALL = 256
# Fewer rows than this are not divided: a call has a price of its own.
MIN_SHARE = 32

# The outcomes of a row in its order, or the error that all of the call had.
Outcomes = Sequence[Outcome | Exception] | Exception


class _Waiting(NamedTuple):
    row: Sequence[Append]
    done: Callable[[Outcomes], None]


class GroupCommit:
    """Sends the appends of many actors together: one script call, one disk write.

    Nobody waits for a group to fill: what is there goes out as soon as a call may start.
    """

    def __init__(self, store: EventStore) -> None:
        self._store = store
        self._waiting: deque[_Waiting] = deque()
        self._senders: set[asyncio.Task[None]] = set()
        self._active = 0
        self._under_way = 0

    def submit(self, row: Sequence[Append], done: Callable[[Outcomes], None]) -> None:
        """Append a row of one stream, each append following on from the last, in the next group.

        ``done`` is called from the event loop with what ``EventStore.append_many`` returns for the
        row, or with the error that it raises.
        """
        self._waiting.append(_Waiting(row, done))
        # Not len(self._senders): one that has ended stays in the set until its callback ran, and an
        # append in between would wait for a sender that never comes.
        if self._active < CALLS_UNDER_WAY:
            self._active += 1
            sender = asyncio.create_task(self._send_groups())
            self._senders.add(sender)
            sender.add_done_callback(self._senders.discard)

    async def append(self, row: Sequence[Append]) -> Sequence[Outcome | Exception]:
        """``submit``, and wait. Raises like ``EventStore.append_many``."""
        outcomes: asyncio.Future[Outcomes] = asyncio.get_running_loop().create_future()
        self.submit(row, outcomes.set_result)
        found = await outcomes
        if isinstance(found, Exception):
            raise found
        return found

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
        room = MAX_APPENDS_PER_CALL - len(group[0].row)
        while self._waiting and len(group) < share and len(self._waiting[0].row) <= room:
            waiting = self._waiting.popleft()
            room -= len(waiting.row)
            group.append(waiting)
        return group

    async def _send(self, group: list[_Waiting]) -> None:
        # Through the loop: what one actor makes of its outcomes cannot keep others from theirs.
        call_soon = asyncio.get_running_loop().call_soon
        try:
            outcomes = await self._store.append_many([a for w in group for a in w.row])
        except Exception as error:  # every caller of the group has to learn of it
            for waiting in group:
                call_soon(waiting.done, error)
            return
        start = 0
        for waiting in group:
            call_soon(waiting.done, outcomes[start : start + len(waiting.row)])
            start += len(waiting.row)
