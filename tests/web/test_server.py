"""The application behind the real server, where bytes on the wire and closed connections matter."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.types import Message, Scope

from examples.orders import domain
from tests.calls import submitting
from tests.web.client import PLACE
from tests.web.serving import serving
from whence import Runtime
from whence.store.append import Append, Outcome
from whence.store.appender import Deliver
from whence.store.eventstore import EventStore
from whence.store.ids import StreamId
from whence.web.app import create_app

BODY = json.dumps(PLACE).encode()
ORDER = StreamId("order", "42")


@asynccontextmanager
async def connected(
    port: int,
) -> AsyncGenerator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.close()
        await writer.wait_closed()


async def answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, Any]]:
    """The status and the document of the next answer on a connection."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:-2])
    body = await reader.readexactly(int(fields["content-length"]))
    return int(head.split()[1]), json.loads(body)


async def exchange(port: int, *pieces: bytes) -> tuple[int, dict[str, Any]]:
    """Send bytes as they are, and read the first answer."""
    async with connected(port) as (reader, writer):
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        return await answer(reader)


def request(method: str, target: bytes, *headers: bytes) -> bytes:
    lines = [method.encode() + b" " + target + b" HTTP/1.1", b"Host: whence.test", *headers]
    return b"\r\n".join([*lines, b"", b""])


def posting(id_: str) -> bytes:
    length = b"Content-Length: %d" % len(BODY)
    return request("POST", f"/orders/{id_}/place".encode(), length) + BODY


@pytest.mark.parametrize("id_", ["%ff", "%fe", "%00", "{42}", "%7b42%7d", "4%2f2", "4%0d%0a2", ""])
async def test_a_bad_id_on_the_wire(app: Starlette, store: EventStore, id_: str) -> None:
    async with serving(app) as port:
        status, document = await exchange(port, posting(id_))

    assert (status, document["field"]) == (422, "id")
    assert await store.head(ORDER) == 0


async def test_a_chunked_body_that_never_ends_is_refused(app: Starlette, store: EventStore) -> None:
    head = request("POST", b"/orders/42/place", b"Transfer-Encoding: chunked")
    chunk = b"%x\r\n" % 250_000 + b" " * 250_000 + b"\r\n"
    async with serving(app) as port:
        status, document = await exchange(port, head, *[chunk] * 5)

    assert (status, document["type"]) == (413, "urn:whence:problem:body-too-large")
    assert await store.head(ORDER) == 0


async def test_an_announced_body_is_refused_before_it_is_sent(app: Starlette) -> None:
    headers = (b"Content-Length: 10000000", b"Expect: 100-continue")
    async with serving(app) as port:
        status, _ = await exchange(port, request("POST", b"/orders/42/place", *headers))
    assert status == 413


async def test_several_commands_on_one_connection(app: Starlette) -> None:
    async with serving(app) as port, connected(port) as (reader, writer):
        for id_ in ("1", "2", "3"):
            writer.write(posting(id_))
            status, document = await answer(reader)
            assert (status, document["id"]) == (201, id_)


class Gated(EventStore):
    """A store whose appends wait for a gate, so that a client can leave meanwhile."""

    def __init__(self, store: EventStore) -> None:
        super().__init__(store.address, store.keys, store.identity)
        self.arrived = asyncio.Event()
        self.gate = asyncio.Event()
        self.stored = asyncio.Event()

    def submit(self, appends: Sequence[Append], deliver: Deliver) -> None:
        submitting(self._appended)(appends, deliver)

    async def _appended(self, appends: Sequence[Append]) -> list[Outcome | Exception]:
        self.arrived.set()
        await self.gate.wait()
        outcomes = await self.append_many(appends)
        self.stored.set()
        return outcomes


@pytest.fixture
async def gated(store: EventStore) -> AsyncIterator[Gated]:
    gated = Gated(store)
    yield gated
    await gated.close()


async def test_a_client_that_leaves_does_not_cancel_its_command(gated: Gated) -> None:
    async with Runtime(gated, domain.write_model) as runtime:
        async with serving(create_app(domain, gated, runtime)) as port:
            async with connected(port) as (_, writer):
                writer.write(posting("42"))
                await gated.arrived.wait()
            gated.gate.set()
            await gated.stored.wait()
        assert (await gated.head(ORDER)) == 1


async def test_a_client_that_leaves_in_the_middle_of_its_body_changes_nothing(
    app: Starlette, store: EventStore
) -> None:
    async with serving(app) as port, connected(port) as (_, writer):
        writer.write(posting("42")[:-1])
        await writer.drain()
    assert await store.head(ORDER) == 0


async def test_a_request_that_the_server_cancels_does_not_cancel_its_command(
    gated: Gated,
) -> None:
    """As uvicorn does with the requests that are not done when its grace is over."""
    scope: Scope = {
        "type": "http",
        "method": "POST",
        "path": "/orders/42/place",
        "raw_path": b"/orders/42/place",
        "query_string": b"",
        "headers": [],
    }

    async def receive() -> Message:
        return {"type": "http.request", "body": BODY}

    async def send(message: Message) -> None:
        raise AssertionError(f"nobody is there for {message}")

    async with Runtime(gated, domain.write_model) as runtime:
        app = create_app(domain, gated, runtime)
        answering = asyncio.create_task(app(scope, receive, send))
        await gated.arrived.wait()
        answering.cancel()
        with pytest.raises(asyncio.CancelledError):
            await answering
        gated.gate.set()
        await gated.stored.wait()
        assert await gated.head(ORDER) == 1
