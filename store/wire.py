"""The one place where Whence goes below the client library: commands out, replies in, in bulk.

redis-py opens the connection (URL, TLS, ACL, database), then its transport is given to a protocol
of ours that parses with hiredis. ARCHITECTURE.md has the figures.
client_wire.py does the same through redis-py: for fakeredis, and as the reference in the tests.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Protocol, TypeVar

import hiredis
from redis.asyncio.connection import AbstractConnection, ConnectionPool
from redis.exceptions import RedisError

from whence.store.errors import ServerRefused, StoreUnavailable

T = TypeVar("T")

Arg = str | bytes | int
Command = tuple[Arg, ...]
# bytes, int, None, a list of replies, or a ServerError in the place of the reply it replaces.
Reply = Any


# One command as RESP bytes; hiredis' own annotation says "a tuple of one".
_pack: Callable[[Command], bytes] = hiredis.pack_command  # type: ignore[assignment]


class ServerError(Exception):
    """An error reply of the server, its code first, handed out as a value."""


# The server says that it executed nothing, and that this will pass.
TRANSIENT = ("LOADING", "BUSY", "TRYAGAIN", "CLUSTERDOWN", "MASTERDOWN", "READONLY")


def refusal(where: str, what: str, reply: ServerError) -> StoreUnavailable | ServerRefused:
    """The error for a reply to something that only reads: will it pass, or is it an answer?

    Args:
        where: the server, as an error message may name it.
        what: the command that was refused.
    """
    if str(reply).startswith(TRANSIENT):
        return StoreUnavailable(where, str(reply))
    return ServerRefused(what, str(reply))


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


# Takes the replies of a call, or learns that they will not come.
Deliver = Callable[[list[Reply] | ConnectionLost], None]


class _Waiter:
    """A call under way: the replies it still needs, until when, and who waits for them."""

    __slots__ = ("count", "deliver", "due", "replies")

    def __init__(self, count: int, due: float, deliver: Deliver) -> None:
        self.count = count
        self.due = due
        self.deliver = deliver
        self.replies: list[Reply] = []


class _Line(asyncio.Protocol):
    """One connection: matches replies to calls, first in, first out.

    A call that has no answer within ``timeout`` seconds ends the connection.
    """

    def __init__(self, stream: asyncio.StreamWriter, timeout: float) -> None:
        # The stream is kept because it closes the transport when it is collected.
        self._stream = stream
        self._transport = stream.transport
        self._transport.set_protocol(self)
        self._timeout = timeout
        self._loop = asyncio.get_running_loop()
        # One for all calls, because they are due in the order in which they were sent.
        self._timer: asyncio.TimerHandle | None = None
        self._waiters: deque[_Waiter] = deque()
        self._reader = hiredis.Reader(replyError=ServerError)
        self.lost = False

    def send(self, packed: bytes, count: int, deliver: Deliver) -> None:
        due = self._loop.time() + self._timeout
        self._waiters.append(_Waiter(count, due, deliver))
        if self._timer is None:
            self._timer = self._loop.call_at(due, self._look)
        self._transport.write(packed)

    def _look(self) -> None:
        self._timer = None
        if self._waiters:
            due = self._waiters[0].due
            if due <= self._loop.time():
                self.drop(f"no answer within {self._timeout} s")
            else:
                self._timer = self._loop.call_at(due, self._look)

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
                waiter.deliver(waiter.replies)

    def connection_lost(self, exc: Exception | None) -> None:
        self.drop(str(exc) if exc else "the server closed the connection")

    def drop(self, reason: str) -> None:
        """Give up the connection: every call that still waits has an unknown outcome."""
        self.lost = True
        if self._timer is not None:
            self._timer.cancel()
        self._transport.abort()
        while self._waiters:
            self._waiters.popleft().deliver(ConnectionLost(reason))


def settle(future: asyncio.Future[T], found: T | Exception) -> None:
    """Give a caller what it waits for, or the error."""
    if future.done():  # the caller may have gone; its replies still come
        return
    if isinstance(found, Exception):
        future.set_exception(found)
    else:
        future.set_result(found)


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

    def post(self, command: Command, deliver: Deliver) -> bool:
        """Send one command at once, without a task, if the connection is open.

        ``deliver`` is called from the event loop with what ``call`` would return, or with the
        ConnectionLost that it would raise. False: nothing was sent; ``call`` opens the connection.
        """
        line = self._line
        if line is None or line.lost:
            return False
        line.send(_pack(command), 1, deliver)
        return True

    async def _exchange(self, line: _Line, commands: Sequence[Command]) -> list[Reply]:
        future: asyncio.Future[list[Reply]] = asyncio.get_running_loop().create_future()
        line.send(b"".join(map(_pack, commands)), len(commands), partial(settle, future))
        return await future

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
        line = _Line(_taken_from(connection), self._timeout)
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
