"""POST /commands: a line in, a line out, in order, whatever becomes of its neighbours."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from typing import Self

import httpx
import pytest
from starlette.applications import Starlette
from starlette.types import Message

from examples.orders import domain
from tests.web.client import CANCEL, PLACE, Client, Json, problem, stored
from tests.web.serving import serving
from whence import Aggregate, Domain, Event, Runtime, command
from whence.actors.receipt import Receipt
from whence.actors.request import CommandRequest
from whence.store.eventstore import EventStore
from whence.store.ids import StreamId
from whence.web import bulk
from whence.web.app import create_app

PATIENCE = 30.0
HEADERS = {"content-type": "application/x-ndjson"}


def place(id_: str, **more: object) -> Json:
    return {"aggregate": "order", "id": id_, "command": "place", "body": PLACE, **more}


def cancel(id_: str, **more: object) -> Json:
    return {"aggregate": "order", "id": id_, "command": "cancel", "body": CANCEL, **more}


async def send(client: httpx.AsyncClient, content: str | bytes) -> list[Json]:
    response = await client.post("/commands", content=content, headers=HEADERS)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/x-ndjson"
    return [json.loads(line) for line in response.text.splitlines()]


def ndjson(lines: Sequence[object]) -> str:
    return "".join(f"{json.dumps(line)}\n" for line in lines)


async def test_each_line_has_its_answer_in_order(client: Client, store: EventStore) -> None:
    ids = [str(number) for number in range(1_000)]
    answers = await send(client, ndjson([place(id_) for id_ in ids]))

    assert [answer["line"] for answer in answers] == list(range(1, 1_001))
    assert [answer["id"] for answer in answers] == ids
    assert {answer["status"] for answer in answers} == {201}
    assert answers[41] == {
        "line": 42,
        "status": 201,
        "id": "41",
        "version": 1,
        "partition": store.keys.partition(StreamId("order", "41")),
        "position": answers[41]["position"],
    }
    assert await stored(store) == 1_000


async def test_lines_of_one_aggregate_take_effect_in_their_order(client: Client) -> None:
    lines = [
        place("1", idempotency_key="a"),
        cancel("1"),
        cancel("2"),
        place("2", idempotency_key="b"),
        cancel("2", idempotency_key="c"),
        place("3"),
        cancel("3", idempotency_key="d"),
    ]
    answers = await send(client, ndjson(lines))
    assert [answer["status"] for answer in answers] == [201, 200, 409, 201, 200, 201, 200]


async def test_a_line_that_is_refused_harms_no_other(client: Client, store: EventStore) -> None:
    lines = [
        json.dumps(place("1")),
        json.dumps(cancel("2")),
        "{",
        "[]",
        '"\xff"',
        json.dumps({**place("3"), "surprise": 1}),
        json.dumps({**place("3"), "aggregate": "customer"}),
        json.dumps({**place("3"), "command": "explode"}),
        json.dumps({**place("3"), "body": {"user_id": 1}}),
        json.dumps(place("a/b")),
        json.dumps(place("3", idempotency_key="a b")),
        json.dumps(cancel("1", expected=7)),
        json.dumps(cancel("1", expected=1)),
    ]
    answers = await send(client, "\n".join(lines).encode("latin-1"))

    assert [a["status"] for a in answers] == [
        *(201, 409, 422, 422, 422, 422, 404, 404, 422, 422, 422, 409, 200)
    ]
    for answer in answers[1:-1]:
        assert answer["problem"]["type"].startswith("urn:whence:problem:"), answer
        assert answer["problem"]["detail"]
    assert answers[11]["problem"]["version"] == 1
    assert await stored(store) == 2


async def test_empty_lines_are_counted_and_passed_over(client: Client) -> None:
    text = f"\n{json.dumps(place('1'))}\r\n  \n\n{json.dumps(cancel('1'))}"
    answers = await send(client, text)
    assert [(a["line"], a["status"]) for a in answers] == [(2, 201), (5, 200)]
    assert await send(client, "") == []


async def test_a_key_gives_the_original_answer(client: Client, store: EventStore) -> None:
    lines = ndjson([place(str(number), idempotency_key="import-1") for number in range(20)])
    first = await send(client, lines)
    again = await send(client, lines)

    assert [a.pop("replayed") for a in again] == [True] * 20
    assert again == first
    assert await stored(store) == 20


async def test_a_line_that_is_too_long_is_refused_without_being_held(
    store: EventStore, runtime: Runtime
) -> None:
    app = create_app(domain, store, runtime, max_body_bytes=1_000)
    async with Client.of(app) as client:
        long = json.dumps(place("2")) + " " * 5_000
        answers = await send(client, f"{json.dumps(place('1'))}\n{long}\n{json.dumps(place('3'))}")
    assert [a["status"] for a in answers] == [201, 422, 201]
    assert "1,000 bytes" in answers[1]["problem"]["detail"]


class Rung(Event):
    pass


class Bell(Aggregate[Rung]):
    @command
    def ring(self, broken: bool = False) -> Rung:
        if broken:
            raise ZeroDivisionError("secret")
        return Rung()

    def apply(self, event: Rung) -> Self:
        return self


async def test_what_a_domain_raises_by_mistake_is_one_line(store: EventStore) -> None:
    bells = Domain(aggregates=[Bell])
    lines = [
        {"aggregate": "bell", "id": id_, "command": "ring", "body": {"broken": id_ == "2"}}
        for id_ in ("1", "2", "3", "2")
    ]
    lines += [{**line, "idempotency_key": f"k{number}"} for number, line in enumerate(lines)]
    async with (
        Runtime(store, bells.write_model) as runtime,
        Client.of(create_app(bells, store, runtime)) as client,
    ):
        answers = await send(client, ndjson(lines))
        assert runtime.metrics().types["bell"].commands == {"stored": 4, "failed": 4}

    assert [a["status"] for a in answers] == [201, 500, 201, 500, 200, 500, 200, 500]
    assert [a["line"] for a in answers] == list(range(1, 9))
    assert "secret" not in json.dumps(answers)


@pytest.mark.parametrize(
    "headers",
    [
        {"content-type": "application/json"},
        {"content-type": "application/x-ndjson", "content-encoding": "gzip"},
    ],
)
async def test_another_form_is_refused(client: Client, headers: dict[str, str]) -> None:
    response = await client.post("/commands", content=b"", headers=headers)
    problem(response, 415, "unsupported-media-type")


class TestTheStream:
    async def test_answers_come_while_commands_are_sent(self, app: Starlette) -> None:
        answered = asyncio.Event()

        async def body() -> AsyncIterator[bytes]:
            yield ndjson([place("1")]).encode()[:-1]
            yield b"\n"
            async with asyncio.timeout(PATIENCE):
                await answered.wait()  # nothing more is sent before the first answer is here
            yield ndjson([cancel("1")]).encode()

        # A client that cannot read while it writes would wait for ever: so this speaks ASGI.
        statuses = await _talk(app, body(), answered)
        assert statuses == [201, 200]

    async def test_only_so_many_are_under_way(
        self, app: Starlette, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(bulk, "WINDOW", 4)
        original, under_way, most = runtime.post, 0, 0

        def counting(request: CommandRequest) -> asyncio.Future[Receipt]:
            nonlocal under_way, most
            under_way += 1
            most = max(most, under_way)
            receipt = original(request)
            receipt.add_done_callback(ended)
            return receipt

        def ended(_: object) -> None:
            nonlocal under_way
            under_way -= 1

        monkeypatch.setattr(runtime, "post", counting)
        async with Client.of(app) as client:
            await send(client, ndjson([place(str(number)) for number in range(100)]))
        assert most == 4

    async def test_a_client_that_leaves_changes_nothing_about_what_it_has_sent(
        self, app: Starlette, store: EventStore
    ) -> None:
        async with serving(app) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            line = ndjson([place("1")]).encode()
            writer.write(
                b"POST /commands HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-ndjson\r\n"
                b"content-length: 100000\r\n\r\n" + line
            )
            async with asyncio.timeout(PATIENCE):
                assert b'"status":201' in await reader.readuntil(b"201")
            writer.close()
            async with serving(app) as other, httpx.AsyncClient() as client:
                found = await client.get(f"http://127.0.0.1:{other}/orders/1")
        assert found.json()["version"] == 1


async def _talk(app: Starlette, body: AsyncIterator[bytes], answered: asyncio.Event) -> list[int]:
    """Send a body piece by piece, and set ``answered`` at the first answer."""
    text = b""

    async def receive() -> Message:
        try:
            return {"type": "http.request", "body": await anext(body), "more_body": True}
        except StopAsyncIteration:
            return {"type": "http.request", "body": b"", "more_body": False}

    async def reply(message: Message) -> None:
        nonlocal text
        text += message.get("body", b"")
        if text:
            answered.set()

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/commands",
        "raw_path": b"/commands",
        "query_string": b"",
        "headers": [(b"content-type", b"application/x-ndjson")],
    }
    await app(scope, receive, reply)
    return [json.loads(line)["status"] for line in text.splitlines()]
