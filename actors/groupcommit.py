"""Group commit: while one call to the store is under way, the next appends collect."""

import asyncio
from collections import deque
from typing import NamedTuple

from whence.store.append import Append, Outcome, check_append
from whence.store.eventstore import EventStore

# Two calls under way keep both this process and the server busy; see ARCHITECTURE.md.
CALLS_UNDER_WAY = 2
MAX_APPENDS_PER_CALL = 256


class _Waiting(NamedTuple):
    append: Append
    future: asyncio.Future[Outcome]


class GroupCommit:
    """Sends the appends of many actors together: one script call, one disk write.

    Nobody waits for a group to fill: what is there goes out as soon as a call may start.
    """

    def __init__(self, store: EventStore) -> None:
        self._store = store
        self._waiting: deque[_Waiting] = deque()
        self._senders: set[asyncio.Task[None]] = set()

    async def append(self, append: Append) -> Outcome:
        """Append in the next group. Raises like ``EventStore.append_many``."""
        check_append(append)
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(append, future))
        if len(self._senders) < CALLS_UNDER_WAY:
            sender = asyncio.create_task(self._send_groups())
            self._senders.add(sender)
            sender.add_done_callback(self._senders.discard)
        return await future

    async def _send_groups(self) -> None:
        while self._waiting:
            await self._send(self._next_group())

    def _next_group(self) -> list[_Waiting]:
        count = min(len(self._waiting), MAX_APPENDS_PER_CALL)
        return [self._waiting.popleft() for _ in range(count)]

    async def _send(self, group: list[_Waiting]) -> None:
        try:
            outcomes = await self._store.append_many([waiting.append for waiting in group])
        except Exception as error:  # every caller of the group has to learn of it
            for waiting in group:
                waiting.future.set_exception(error)
            return
        for waiting, outcome in zip(group, outcomes, strict=True):
            if isinstance(outcome, Exception):
                waiting.future.set_exception(outcome)
            else:
                waiting.future.set_result(outcome)
