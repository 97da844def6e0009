"""Server-sent events for the pages: what a page shows, sent again whenever it has changed."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import anyio
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from whence.store.errors import TooManySubscribers, WhenceError
from whence.web.live import RETRY_AFTER
from whence.web.problems import kind_of

# Pages that may be watched at a time; each costs a rendering a second.
MAX_STREAMS = 200
# Seconds between two looks.
EVERY = 1.0
# Seconds of silence after which a comment shows both sides that the other one is there.
HEARTBEAT = 15.0
# Milliseconds after which a browser asks again when the stream has ended.
_RETRY_MS = 1_000

_HEADERS = {"cache-control": "no-store", "x-accel-buffering": "no"}


class Message(NamedTuple):
    """One server-sent event: its name, and text of any number of lines."""

    event: str
    data: str

    def encode(self) -> bytes:
        # Any kind of line break ends a line there, so a text cannot bring in a field of its own.
        lines = "".join(f"data: {line}\n" for line in self.data.splitlines() or [""])
        return f"event: {self.event}\n{lines}\n".encode(errors="replace")


Look = Callable[[], Awaitable[Message]]


class Streams:
    """All streams of the pages.

    Args:
        stop: when it is set, every stream ends at once, also those still to come.
    """

    def __init__(self, stop: asyncio.Event) -> None:
        self._stop = stop
        self._open = 0

    def of(self, look: Look) -> Response:
        """A response that sends what ``look`` finds, at first and whenever it is another.

        Raises:
            TooManySubscribers: so many are open already.
        """
        if self._open >= MAX_STREAMS:
            raise TooManySubscribers(MAX_STREAMS, RETRY_AFTER)
        return _Stream(self, look)

    async def run(self, look: Look, send: Callable[[bytes], Awaitable[None]]) -> None:
        """Send until ``stop`` is set."""
        self._open += 1
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_watch, look, send)
                await self._stop.wait()
                tasks.cancel_scope.cancel()
        finally:
            self._open -= 1


async def _watch(look: Look, send: Callable[[bytes], Awaitable[None]]) -> None:
    await send(b"retry: %d\n\n" % _RETRY_MS)
    sent: Message | None = None
    silent = 0.0
    while True:
        try:
            message = await look()
        except WhenceError as error:
            message = Message("trouble", kind_of(error).title)
        if message != sent:
            await send(message.encode())
            sent, silent = message, 0.0
        elif silent >= HEARTBEAT:
            await send(b": still here\n\n")
            silent = 0.0
        await anyio.sleep(EVERY)
        silent += EVERY


class _Stream(Response):
    media_type = "text/event-stream"

    def __init__(self, streams: Streams, look: Look) -> None:
        super().__init__(headers=_HEADERS)
        del self.headers["content-length"]
        self._streams = streams
        self._look = look

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_chunk(chunk: bytes) -> None:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})

        async with anyio.create_task_group() as tasks:

            async def end_with_the_client() -> None:
                while (await receive())["type"] != "http.disconnect":
                    pass
                tasks.cancel_scope.cancel()

            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            tasks.start_soon(end_with_the_client)
            await self._streams.run(self._look, send_chunk)
            await send({"type": "http.response.body", "body": b""})
            tasks.cancel_scope.cancel()
