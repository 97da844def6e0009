"""The one place where Whence goes below the client library: commands out, replies in, in bulk.

redis-py opens the connection (URL, TLS, ACL, database), then its transport is given to a protocol
of ours that parses with hiredis. ARCHITECTURE.md has the figures.
ClientWire does the same through redis-py itself: for fakeredis, and as the reference in the tests.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

import hiredis
from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection, ConnectionPool
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import (
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)

from whence.store.errors import StoreUnavailable

Arg = str | bytes | int
Command = tuple[Arg, ...]
# bytes, int, None, a list of replies, or a ServerError in the place of the reply it replaces.
Reply = Any


# One command as RESP bytes; hiredis' own annotation says "a tuple of one".
_pack: Callable[[Command], bytes] = hiredis.pack_command  # type: ignore[assignment]


class ServerError(Exception):
    """An error reply of the server, its code first, handed out as a value."""


class ConnectionLost(Exception):
    """The connection ended between the request and its last reply: was it executed? Unknown."""


class Wire(Protocol):
    """A connection that may be shared: calls go out in order and answers come back in order."""

    @property
    def knows_shebang(self) -> bool:
        """Whether scripts on this server may begin with ``#!lua``."""
        ...

    async def call(self, commands: Sequence[Command]) -> list[Reply]:
        """Send the commands in one write and return one reply each.

        Raises:
            StoreUnavailable: no connection could be made; nothing was sent.
            ConnectionLost: something was sent, and no complete answer came back in time.
        """
        ...

    async def each(self, commands: Sequence[Command]) -> dict[str, list[Reply]]:
        """``call`` at every server that takes appends: the replies by the server's address.

        Raises as ``call``, for whichever server cannot be asked.
        """
        ...

    async def close(self) -> None: ...


Call = Callable[[Sequence[Command]], Awaitable[list[Reply]]]
# Looks at a server, which an error message may name as the first argument, through a call.
Guard = Callable[[str, Call], Awaitable[object]]


async def call_reading(wire: Wire, commands: Sequence[Command], where: str) -> list[Reply]:
    """Send commands that only read: once more on a lost connection, for reading is harmless.

    Args:
        where: the server, as an error message may name it.

    Raises:
        StoreUnavailable
    """
    try:
        return await wire.call(commands)
    except ConnectionLost:
        try:
            return await wire.call(commands)
        except ConnectionLost as error:
            raise StoreUnavailable(where, str(error)) from error


# Bytes. After each KB of replies hiredis moves what it has not read yet, which for the 256 KB that
# arrive at once takes as long as reading the replies.
_SLICE = 16_384


class _Waiter:
    """A call under way: the replies it still needs, and who waits for them."""

    __slots__ = ("count", "future", "replies")

    def __init__(self, count: int, future: asyncio.Future[list[Reply]]) -> None:
        self.count = count
        self.future = future
        self.replies: list[Reply] = []


class _Line(asyncio.Protocol):
    """The receiving end of one connection: matches replies to calls, first in, first out."""

    def __init__(self, stream: asyncio.StreamWriter) -> None:
        # The stream is kept because it closes the transport when it is collected.
        self._stream = stream
        self._transport = stream.transport
        self._transport.set_protocol(self)
        self._waiters: deque[_Waiter] = deque()
        self._reader = hiredis.Reader(replyError=ServerError)
        self.lost = False

    def send(self, packed: bytes, count: int) -> asyncio.Future[list[Reply]]:
        future: asyncio.Future[list[Reply]] = asyncio.get_running_loop().create_future()
        self._waiters.append(_Waiter(count, future))
        self._transport.write(packed)
        return future

    def data_received(self, data: bytes) -> None:
        try:
            for start in range(0, len(data), _SLICE):
                self._reader.feed(data, start, min(_SLICE, len(data) - start))
                self._deliver()
        except hiredis.ProtocolError as error:
            self.drop(f"the server sent what is not RESP: {error}")

    def _deliver(self) -> None:
        while (reply := self._reader.gets()) is not False:
            waiter = self._waiters[0]
            waiter.replies.append(reply)
            if len(waiter.replies) == waiter.count:
                self._waiters.popleft()
                if not waiter.future.done():  # the caller may have gone; its replies still come
                    waiter.future.set_result(waiter.replies)

    def connection_lost(self, exc: Exception | None) -> None:
        self.drop(str(exc) if exc else "the server closed the connection")

    def drop(self, reason: str) -> None:
        """Give up the connection: every call that still waits has an unknown outcome."""
        self.lost = True
        self._transport.abort()
        while self._waiters:
            future = self._waiters.popleft().future
            if not future.done():
                future.set_exception(ConnectionLost(reason))


def _expire(line: _Line, future: asyncio.Future[list[Reply]], reason: str) -> None:
    if not future.done():  # else the answer has come in this same moment
        line.drop(reason)


CLOSED = "this program has closed the connection"


class SocketWire:
    """A Wire over one socket that is opened on demand and again after a loss.

    A call may also raise what ``guard`` raises; nothing was sent then.

    Args:
        pool: a redis-py pool; it knows how to connect, its own connections are not used.
        where: the server, as an error message may name it.
        timeout: seconds to wait for the replies of one call.
        connect_timeout: seconds to wait for a connection that is ready to be used.
        guard: looks at the server through each new connection before anything else is sent on it,
            and raises if it is not to be used.
    """

    knows_shebang = True

    def __init__(
        self,
        pool: ConnectionPool,
        where: str,
        timeout: float,
        connect_timeout: float,
        guard: Guard | None = None,
    ) -> None:
        self._pool = pool
        self._guard = guard
        self._where = where
        self._timeout = timeout
        self._connect_timeout = connect_timeout
        self._line: _Line | None = None
        self._opening: asyncio.Task[_Line] | None = None
        self._closed = False

    async def call(self, commands: Sequence[Command]) -> list[Reply]:
        line = self._line
        if line is None or line.lost:
            line = await self._new_line()
        return await self._exchange(line, commands)

    async def each(self, commands: Sequence[Command]) -> dict[str, list[Reply]]:
        return {self._where: await self.call(commands)}

    async def _exchange(self, line: _Line, commands: Sequence[Command]) -> list[Reply]:
        future = line.send(b"".join(map(_pack, commands)), len(commands))
        # A timer: asyncio.timeout takes 3 µs and this 1 µs, on the way of every command.
        reason = f"no answer within {self._timeout} s"
        patience = asyncio.get_running_loop().call_later(
            self._timeout, _expire, line, future, reason
        )
        try:
            return await future
        finally:
            patience.cancel()

    async def _new_line(self) -> _Line:
        """One attempt for all who wait, and its result or error for each of them."""
        if self._closed:
            raise StoreUnavailable(self._where, CLOSED)
        if self._opening is None or self._opening.done():
            self._opening = asyncio.create_task(self._open())
            self._opening.add_done_callback(seen)  # those who waited may have left
        return await asyncio.shield(self._opening)

    async def _open(self) -> _Line:
        connection: AbstractConnection = self._pool.make_connection()  # type: ignore[no-untyped-call]
        try:
            # The handshake as well: a server may accept and then say nothing.
            async with asyncio.timeout(self._connect_timeout):
                await connection.connect()  # type: ignore[no-untyped-call]
        except (RedisError, OSError) as error:  # TimeoutError is an OSError
            await connection.disconnect(nowait=True)
            reason = str(error) or f"no connection within {self._connect_timeout} s"
            raise StoreUnavailable(self._where, reason) from error
        line = _Line(_taken_from(connection))
        if self._guard is not None:
            await self._look(line, self._guard)
        if self._closed:
            line.drop("closed")
            raise StoreUnavailable(self._where, CLOSED)
        self._line = line
        return line

    async def _look(self, line: _Line, guard: Guard) -> None:
        try:
            await guard(self._where, lambda commands: self._exchange(line, commands))
        except ConnectionLost as error:
            raise StoreUnavailable(self._where, str(error)) from error
        except BaseException:
            line.drop("not to be used")
            raise

    async def close(self) -> None:
        self._closed = True
        if self._line is not None:
            self._line.drop("closed")


def seen(task: "asyncio.Task[Any]") -> None:
    """Let a task fail for which nobody waits any more."""
    if not task.cancelled():
        task.exception()


def _taken_from(connection: AbstractConnection) -> asyncio.StreamWriter:
    """The stream of an open connection, which redis-py then no longer has, nor closes."""
    writer: asyncio.StreamWriter | None = connection._writer  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    assert writer is not None, "redis-py's connect() leaves a writer"
    connection._writer = connection._reader = None  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    return writer


class ClientWire:
    """A Wire through redis-py's own pipeline.

    Args:
        client: used for nothing else, because its reply parsers are taken off.
        knows_shebang: False for fakeredis.
    """

    def __init__(self, client: "Redis", where: str, *, knows_shebang: bool) -> None:
        self._client = client
        self._where = where
        self._in_order = asyncio.Lock()
        self.knows_shebang = knows_shebang
        client.response_callbacks.clear()

    async def call(self, commands: Sequence[Command]) -> list[Reply]:
        pipeline = self._client.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command)  # pyright: ignore[reportUnknownMemberType]
        try:
            async with self._in_order:
                replies = await pipeline.execute(raise_on_error=False)
        except (RedisConnectionError, OSError) as error:
            raise ConnectionLost(str(error)) from error
        return [_as_server_error(r) if isinstance(r, ResponseError) else r for r in replies]

    async def each(self, commands: Sequence[Command]) -> dict[str, list[Reply]]:
        return {self._where: await self.call(commands)}

    async def close(self) -> None:
        await self._client.aclose()


# redis-py cuts the code off the message of the errors for which it has a class.
_CODES: dict[type[ResponseError], str] = {
    NoScriptError: "NOSCRIPT",
    ReadOnlyError: "READONLY",
    OutOfMemoryError: "OOM",
}


def _as_server_error(error: ResponseError) -> ServerError:
    code = _CODES.get(type(error))
    return ServerError(f"{code} {error}" if code else str(error))
