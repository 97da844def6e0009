"""Commands as lines of one request, against the same commands as a request each."""

import asyncio
import itertools
import time
from collections.abc import Iterator

import msgspec
import uvloop

from bench.client import requests_per_second
from bench.domain import REFERENCE
from bench.figure import Figure, compared, figure, server
from bench.http import AGGREGATES, CONNECTIONS, HOST, deposits, web

LINES = 50_000
# Lines per write: what a client that streams a file would do.
_PIECE = 500

_BODY = {"amount": 1, "reference": REFERENCE}


def figures() -> Iterator[Figure]:
    for fsync in ("always", "everysec"):
        with server(fsync) as running, web(running.url) as port:
            yield uvloop.run(_measure(port, fsync))


async def _measure(port: int, fsync: str) -> Figure:
    numbers = itertools.count()
    # Every aggregate exists and is live, as in a system that has run for a minute.
    await _bulk(port, numbers)
    pair = await compared(
        lambda: _bulk(port, numbers),
        lambda: requests_per_second(HOST, port, deposits(numbers), CONNECTIONS),
    )
    against = f"one request per command, {CONNECTIONS} connections"
    return figure(f"bulk, one request of {LINES} lines, {fsync}", pair, "commands/s", against)


async def _bulk(port: int, numbers: Iterator[int]) -> float:
    lines = [_line(next(numbers) % AGGREGATES) for _ in range(LINES)]
    size = sum(map(len, lines))
    reader, writer = await asyncio.open_connection(HOST, port)
    start = time.perf_counter()
    writer.write(
        b"POST /commands HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-ndjson\r\n"
        b"connection: close\r\ncontent-length: %d\r\n\r\n" % size
    )
    sending = asyncio.create_task(_send(writer, lines))
    answer = bytearray()
    while piece := await reader.read(1_000_000):
        answer += piece
    await sending
    seconds = time.perf_counter() - start
    writer.close()
    done = answer.count(b'"status":20')
    assert done == LINES, f"{done} of {LINES} commands were stored"
    return LINES / seconds


async def _send(writer: asyncio.StreamWriter, lines: list[bytes]) -> None:
    for first in range(0, len(lines), _PIECE):
        writer.write(b"".join(lines[first : first + _PIECE]))
        await writer.drain()


def _line(number: int) -> bytes:
    command = {"aggregate": "account", "id": str(number), "command": "deposit", "body": _BODY}
    return msgspec.json.encode(command) + b"\n"
