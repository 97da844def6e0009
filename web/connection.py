"""A connection of the HTTP server: whoever keeps it waiting loses it, and nobody else notices."""

import asyncio
from typing import Any, ClassVar, cast

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

_TIMEOUT = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


class Connection(HttpToolsProtocol):
    """uvicorn's, with a bound on each thing that it waits for; all in seconds.

    Attributes:
        head_within: from the connection, or the first byte of a request, to the end of its headers.
            Who has sent a part of them is told so (408), who has sent nothing is left.
        body_silence: between two pieces of a body, while this side reads.
        unread_for: how long an answer may wait for its reader.
        idle_for: between a response and the next request. Longer than the 60 that proxies commonly
            keep theirs, so that they close first and lose no request to it.
    """

    head_within: ClassVar[float] = 10.0
    body_silence: ClassVar[float] = 30.0
    unread_for: ClassVar[float] = 30.0
    idle_for: ClassVar[float] = 75.0

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.timeout_keep_alive = cast("int", self.idle_for)  # a delay for call_later
        self._head: asyncio.TimerHandle | None = None
        self._body: asyncio.TimerHandle | None = None
        self._reader: asyncio.TimerHandle | None = None
        self._heard = 0.0
        self._said_something = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(cast("asyncio.Transport", transport))  # uvloop's is no subclass
        self._head = self.loop.call_later(self.head_within, self._head_is_late)

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in (self._head, self._body, self._reader):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        cycle = self.cycle
        if not cycle or cycle.response_complete:
            self._said_something = True
            if self._head is None and self.timeout_keep_alive_task is None:
                self._head = self.loop.call_later(self.head_within, self._head_is_late)
        elif cycle.more_body:
            self._heard = self.loop.time()
            if self._body is None:
                self._body = self.loop.call_later(self.body_silence, self._body_is_late)

    def on_headers_complete(self) -> None:
        self._said_something = False
        if self._head is not None:
            self._head.cancel()
            self._head = None
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        super().on_message_complete()
        if self._body is not None:
            self._body.cancel()
            self._body = None

    def pause_writing(self) -> None:
        super().pause_writing()
        self._reader = self.loop.call_later(self.unread_for, self._reader_is_late)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._reader is not None:
            self._reader.cancel()
            self._reader = None

    def _head_is_late(self) -> None:
        self._head = None
        if self.transport.is_closing():
            return
        if self._said_something:
            self.transport.write(_TIMEOUT)
        self.transport.close()

    def _body_is_late(self) -> None:
        self._body = None
        left = self._heard + self.body_silence - self.loop.time()
        if self.flow.read_paused:
            left = self.body_silence  # it is this side that keeps the other one waiting
        if left > 0:
            self._body = self.loop.call_later(left, self._body_is_late)
        elif not self.transport.is_closing():
            if not self.cycle.response_started:
                self.transport.write(_TIMEOUT)
            self.transport.close()

    def _reader_is_late(self) -> None:
        self._reader = None
        self.transport.abort()
