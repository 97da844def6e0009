"""Who keeps a connection waiting loses it; who is slow for a good reason does not."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.types import Receive, Scope, Send

from tests.web.serving import serving
from tests.web.test_server import BODY, ORDER, answer, connected, posting, request
from whence.store.eventstore import EventStore
from whence.web.connection import Connection

SHORT = 0.2
# Of what a test does not want to happen first.
NEVER = 600.0


class Patient(Connection):
    head_within = NEVER
    body_silence = NEVER
    unread_for = NEVER
    idle_for = NEVER


class HeadsInTime(Patient):
    head_within = SHORT


class BodiesInTime(Patient):
    body_silence = SHORT


class ReadersInTime(Patient):
    unread_for = SHORT


class BusyOnly(Patient):
    idle_for = SHORT


@asynccontextmanager
async def client(
    app: Starlette, protocol: type[Connection]
) -> AsyncGenerator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    async with serving(app, protocol=protocol) as port, connected(port) as found:
        yield found


async def test_who_sends_a_part_of_a_head_is_told_that_it_is_late(app: Starlette) -> None:
    async with client(app, HeadsInTime) as (reader, writer):
        writer.write(b"GET /livez HTTP/1.1\r\nHost: whence")
        head = await reader.read()
    assert head.startswith(b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\n")


async def test_who_sends_nothing_at_all_is_left(app: Starlette) -> None:
    async with client(app, HeadsInTime) as (reader, _):
        assert await reader.read() == b""


async def test_empty_lines_are_no_head(app: Starlette) -> None:
    """A parser passes over them, so they must not buy time."""
    async with client(app, HeadsInTime) as (reader, writer):
        reading = asyncio.create_task(reader.read())
        while not reading.done():
            writer.write(b"\r\n")
            await asyncio.wait([reading], timeout=SHORT / 10)
        # A line that arrives behind the end resets the connection.
        assert isinstance(reading.exception(), ConnectionError | None)


async def test_the_second_head_on_a_connection_has_its_time_as_well(app: Starlette) -> None:
    async with client(app, HeadsInTime) as (reader, writer):
        writer.write(posting("1"))
        assert (await answer(reader))[0] == 201
        writer.write(b"GET /livez")
        assert (await reader.read()).startswith(b"HTTP/1.1 408 ")


async def test_a_body_that_stops_is_given_up(app: Starlette, store: EventStore) -> None:
    async with client(app, BodiesInTime) as (reader, writer):
        writer.write(posting("42")[:-1])
        assert (await reader.read()).startswith(b"HTTP/1.1 408 ")
    assert await store.head(ORDER) == 0


async def test_a_body_that_goes_on_may_take_its_time(app: Starlette) -> None:
    async with client(app, BodiesInTime) as (reader, writer):
        length = b"Content-Length: %d" % len(BODY)
        writer.write(request("POST", b"/orders/42/place", length))
        for at in range(0, len(BODY), 5):
            writer.write(BODY[at : at + 5])
            await asyncio.sleep(SHORT / 10)  # altogether longer than the silence that is allowed
        status, _ = await answer(reader)
    assert status == 201


async def test_an_idle_connection_is_closed(app: Starlette) -> None:
    async with client(app, BusyOnly) as (reader, writer):
        writer.write(posting("1"))
        assert (await answer(reader))[0] == 201
        assert await reader.read() == b""


async def test_a_connection_in_use_stays(app: Starlette) -> None:
    async with client(app, Patient) as (reader, writer):
        for id_ in ("1", "2", "3"):
            for byte in (posting(id_)[:20], posting(id_)[20:]):
                writer.write(byte)
                await writer.drain()
            assert (await answer(reader))[0] == 201


async def test_an_answer_that_nobody_reads_is_given_up() -> None:
    gone = asyncio.Event()

    async def endless(scope: Scope, receive: Receive, send: Send) -> None:
        async def until_gone() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass
            gone.set()

        leaving = asyncio.create_task(until_gone())
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while not gone.is_set():
            await send({"type": "http.response.body", "body": b" " * 65_536, "more_body": True})
            await asyncio.sleep(0)
        await leaving

    async with (
        serving(endless, protocol=ReadersInTime) as port,
        connected(port) as (_, writer),
    ):
        writer.write(request("GET", b"/"))
        await asyncio.wait_for(gone.wait(), 30)
