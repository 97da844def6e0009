"""How many commands a process holds at a time: what is full refuses at once, and takes nothing."""

import asyncio
import time

from whence.store.errors import Overloaded
from whence.store.ids import StreamId

# Seconds: between two looks at how many commands are done, and the bounds of what callers are told.
WINDOW = 1.0
LEAST_RETRY_AFTER = 0.1
MOST_RETRY_AFTER = 10.0


class Capacity:
    """Counts the commands of a runtime from when they are taken until they are answered.

    Args:
        per_actor: how many one aggregate may have.
        in_total: how many all of them may have.
    """

    __slots__ = ("_done", "_emptied", "_held", "_in_total", "_per_actor", "_rate", "_since")

    def __init__(self, per_actor: int, in_total: int) -> None:
        self._per_actor = per_actor
        self._in_total = in_total
        self._held = 0
        self._emptied: asyncio.Future[None] | None = None
        # How many were done since a moment, and how many per second before it.
        self._done = 0
        self._since = 0.0
        self._rate: float | None = None

    def held(self) -> int:
        """How many commands have no answer yet."""
        return self._held

    def take(self, stream: StreamId, held: int) -> None:
        """Count one more command of an actor that already has ``held``. Raises Overloaded."""
        if held >= self._per_actor:
            raise Overloaded(str(stream), held, self._retry_after())
        if self._held >= self._in_total:
            raise Overloaded("this process", self._held, self._retry_after())
        if self._held == 0:  # what was done before a pause says nothing about the rate
            self._since, self._done = time.monotonic(), 0
        self._held += 1

    def release(self, count: int) -> None:
        """So many commands have been answered."""
        self._held -= count
        self._done += count
        if self._held == 0 and self._emptied is not None and not self._emptied.done():
            self._emptied.set_result(None)

    async def emptied(self) -> None:
        """Wait until every command has been answered."""
        if self._held:
            self._emptied = asyncio.get_running_loop().create_future()
            await self._emptied

    def _retry_after(self) -> float:
        """Seconds in which as many commands as now wait were lately done."""
        elapsed = time.monotonic() - self._since
        if elapsed >= WINDOW or (self._rate is None and self._done):
            self._rate = self._done / max(elapsed, 0.001)
        if elapsed >= WINDOW:
            self._since, self._done = self._since + elapsed, 0
        if self._rate is None:
            return LEAST_RETRY_AFTER
        wait = self._held / self._rate if self._rate else MOST_RETRY_AFTER
        return round(min(max(wait, LEAST_RETRY_AFTER), MOST_RETRY_AFTER), 3)
