"""A small HTTP/1.1 client for load: keep-alive connections that each wait for their answer."""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TypeVar, cast


async def requests_per_second(
    host: str, port: int, requests: Iterator[bytes], connections: int
) -> float:
    """Send all requests over so many connections, within a minute; each answer has to be a 2xx."""
    start = time.perf_counter()
    clients = await _sent(host, port, [partial(_Client, requests) for _ in range(connections)])
    return sum(client.answered for client in clients) / (time.perf_counter() - start)


async def latencies(
    host: str, port: int, requests: Iterator[bytes], connections: int, rate: float, seconds: float
) -> list[float]:
    """Send so many requests a second, and return how many seconds each of them took.

    They are due at regular moments, in turn over the connections, whether those before them are
    answered or not, and the clock runs from the moment one was due: a request that waits for its
    connection has waited as well.
    """
    start, every = time.perf_counter(), connections / rate
    clients = await _sent(
        host,
        port,
        [
            partial(_Paced, requests, start + number / rate, every, start + seconds)
            for number in range(connections)
        ],
    )
    return [took for client in clients for took in client.took]


C = TypeVar("C", bound="_Client")


async def _sent(host: str, port: int, connections: Sequence[Callable[[], C]]) -> list[C]:
    """Return when all of these have sent what they have to, and have their answers."""
    loop = asyncio.get_running_loop()
    opened = [await loop.create_connection(make, host, port) for make in connections]
    clients = [client for _, client in opened]
    async with asyncio.timeout(60):
        await asyncio.gather(*[client.done for client in clients])
    return clients


class _Client(asyncio.Protocol):
    def __init__(self, requests: Iterator[bytes]) -> None:
        self._requests = requests
        self._buffer = b""
        self._transport: asyncio.WriteTransport | None = None
        self.answered = 0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)  # uvloop's is no subclass
        self._next()

    def _next(self) -> None:
        assert self._transport is not None
        request = next(self._requests, None)
        if request is None:
            self._transport.close()
        else:
            self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, separator, body = self._buffer.partition(b"\r\n\r\n")
        if not separator or len(body) < _content_length(head):
            return
        if not head.startswith(b"HTTP/1.1 2"):
            self._fail(self._buffer)
            return
        self._buffer = b""
        self.answered += 1
        self._next()

    def _fail(self, answer: bytes) -> None:
        if not self.done.done():
            self.done.set_exception(RuntimeError(f"the server answered {answer[:500]!r}"))

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_result(None)


class _Paced(_Client):
    """Sends one request at each moment that is due, or as soon after it as the last is answered."""

    def __init__(self, requests: Iterator[bytes], due: float, every: float, until: float) -> None:
        super().__init__(requests)
        self.took: list[float] = []
        self._due = due
        self._every = every
        self._until = until

    def _next(self) -> None:
        if self.answered > len(self.took):
            self.took.append(time.perf_counter() - self._due)
            self._due += self._every
        if self._due >= self._until:
            self._requests = iter(())
        wait = self._due - time.perf_counter()
        if wait > 0:
            asyncio.get_running_loop().call_later(wait, super()._next)
        else:
            super()._next()


def _content_length(head: bytes) -> int:
    _, _, rest = head.lower().partition(b"content-length:")
    return int(rest.partition(b"\r\n")[0])


def post(path: str, body: bytes) -> bytes:
    head = (
        f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nhost: localhost\r\naccept: application/json\r\n\r\n".encode()
