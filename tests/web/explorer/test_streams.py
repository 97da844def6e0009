"""What the pages are sent while somebody looks at them."""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager

import httpx
import pytest
from starlette.applications import Starlette

from tests.web.client import Client
from tests.web.explorer.html import html
from tests.web.serving import serving
from whence.store.errors import StoreUnavailable
from whence.store.eventstore import EventStore
from whence.web.explorer import streams
from whence.web.explorer.streams import Message, Streams


@asynccontextmanager
async def watching(
    port: int, page: str
) -> AsyncGenerator[tuple[httpx.Response, AsyncGenerator[str]]]:
    """A stream, and its messages: each its name, a blank, and its data."""
    async with (
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=20) as client,
        client.stream("GET", f"/explorer/live/{page}") as response,
    ):
        yield response, _messages(response)


async def _messages(response: httpx.Response) -> AsyncGenerator[str]:
    name, data = "", ""
    async for line in response.aiter_lines():
        field, _, text = line.partition(": ")
        match field:
            case "event":
                name = text
            case "data":
                data = f"{data}{text}\n"
            case "" if name:
                yield f"{name} {data.strip()}"
                name, data = "", ""
            case _:
                pass


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "EVERY", 0.02)


async def test_an_aggregate_tells_its_newest_version(app: Starlette, client: Client) -> None:
    await client.placed("42")
    async with serving(app) as port, watching(port, "aggregates/order/42") as (response, messages):
        assert response.headers["content-type"].startswith("text/event-stream")
        assert response.headers["cache-control"] == "no-store"
        assert await anext(messages) == "head 1"
        await client.command("/orders/42/approve")
        assert await anext(messages) == "head 2"


@pytest.mark.parametrize("page", ["search", "projections", "store"])
async def test_a_page_is_sent_again_when_it_has_changed(
    app: Starlette, client: Client, page: str
) -> None:
    async with serving(app) as port, watching(port, page) as (_, messages):
        first = await anext(messages)
        assert first.startswith("fragment <")
        await client.placed("42")
        assert await anext(messages) != first


async def test_streams_end_at_once_when_the_server_stops(app: Starlette, client: Client) -> None:
    await client.placed("42")
    async with serving(app) as port:
        async with watching(port, "aggregates/order/42") as (_, messages):
            assert await anext(messages) == "head 1"
            app.state.live.end()
            assert [rest async for rest in messages] == []
        async with watching(port, "store") as (_, messages):
            assert [late async for late in messages if late.startswith("trouble")] == []


async def test_a_client_that_leaves_ends_its_stream(
    app: Starlette, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "MAX_STREAMS", 1)
    await client.placed("42")
    async with serving(app) as port:
        async with watching(port, "store") as (_, messages):
            await anext(messages)
            async with watching(port, "store") as (refused, _):
                assert refused.status_code == 503
                assert refused.headers["retry-after"] == "5"
                await refused.aread()
                assert "Too many listen" in html(refused, 503).text
        async with asyncio.timeout(10):
            while True:
                async with watching(port, "store") as (response, messages):
                    if response.status_code == 200:
                        await anext(messages)
                        break


async def test_silence_is_broken_by_a_sign_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "HEARTBEAT", 0.05)
    sent: list[bytes] = []
    stop = asyncio.Event()

    async def look() -> Message:
        return Message("head", "1")

    async def send(chunk: bytes) -> None:
        sent.append(chunk)
        if chunk.startswith(b":"):
            stop.set()

    async with asyncio.timeout(10):
        await Streams(stop).run(look, send)
    assert sent == [b"retry: 1000\n\n", b"event: head\ndata: 1\n\n", b": still here\n\n"]


async def test_trouble_is_told_and_passes(app: Starlette) -> None:
    answers: Iterator[StoreUnavailable | Message] = iter(
        [StoreUnavailable("there", "secret"), Message("head", "1")]
    )
    sent: list[bytes] = []
    stop = asyncio.Event()

    async def look() -> Message:
        answer = next(answers)
        if isinstance(answer, StoreUnavailable):
            raise answer
        return answer

    async def send(chunk: bytes) -> None:
        sent.append(chunk)
        if b"head" in chunk:
            stop.set()

    async with asyncio.timeout(10):
        await Streams(stop).run(look, send)
    assert sent[1] == b"event: trouble\ndata: The event store cannot be reached\n\n"
    assert sent[2] == b"event: head\ndata: 1\n\n"


def test_text_cannot_break_out_of_its_message() -> None:
    message = Message("fragment", "a\nevent: x\r\rdata: y\u2028\ud800")
    assert message.encode() == (
        b"event: fragment\ndata: a\ndata: event: x\ndata: \ndata: data: y\ndata: ?\n\n"
    )


async def test_a_live_aggregate_that_cannot_be_is_refused_in_the_stream(
    app: Starlette, store: EventStore
) -> None:
    async with serving(app) as port, watching(port, "aggregates/nothing/1") as (_, messages):
        assert await anext(messages) == "trouble There is nothing at this address"
    assert await store.feed_head(0) == 0
