"""A deadline: until when a command has to be decided, or else it is dropped."""

import asyncio
from typing import Any

from whence.store.errors import DeadlineExceeded
from whence.store.ids import StreamId


class Deadline:
    """Lets the caller of a command that is not decided in time go, at that moment.

    A command that is decided and on its way to the store has met it: only the store knows then
    what became of it, and the caller gets to hear that.

    Args:
        done: the future of the caller; it gets DeadlineExceeded.
        at: by the clock of the event loop.
    """

    __slots__ = ("_at", "_done", "_loop", "_met", "_stream", "_timer")

    def __init__(self, stream: StreamId, done: asyncio.Future[Any], at: float) -> None:
        self._stream = stream
        self._done = done
        self._at = at
        self._met = False
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_at(at, self._expire)
        done.add_done_callback(self._end)

    def missed(self) -> bool:
        """Whether it is too late to decide the command; then its caller has been told."""
        if self._loop.time() < self._at:
            return False
        self._expire()
        return True

    def meet(self) -> None:
        """The command is decided and goes out."""
        self._met = True

    def reopen(self) -> None:
        """It was not stored and has to be decided anew, so the deadline counts again."""
        self._met = False
        self.missed()

    def _expire(self) -> None:
        if not self._met and not self._done.done():
            self._done.set_exception(DeadlineExceeded(self._stream))

    def _end(self, _: asyncio.Future[Any]) -> None:
        self._timer.cancel()
