"""Hostile and mistaken input: a clear answer that names the field, and nothing changed."""

import json
from collections.abc import AsyncIterator
from typing import Any, Self

import pytest

from tests.web.client import CANCEL, ITEM, PLACE, Client, Json, problem, stored
from whence import Aggregate, Domain, Event, Runtime, command
from whence.store.eventstore import EventStore
from whence.web.app import create_app

BAD_IDS = {
    "not UTF-8": "%ff",
    "another not UTF-8": "%fe",
    "NUL": "4%002",
    "braces": "%7B42%7D",
    "bare braces": "{42}",
    "line feed": "42%0A",
    "header injection": "42%0D%0ASet-Cookie:%20a=b",
    "slash": "4%2F2",
    "only a slash": "%2F",
    "colon": "a:b",
    "space": "4%202",
    "twice encoded": "4%25322",
    "129 characters": "a" * 129,
    "empty": "",
    "umlaut": "%C3%BC",
}


class TestIds:
    @pytest.mark.parametrize("path", ["/{}", "/{}/events", "/{}/why"])
    @pytest.mark.parametrize("id_", BAD_IDS.values(), ids=BAD_IDS.keys())
    async def test_reading_under_a_bad_id(self, client: Client, path: str, id_: str) -> None:
        problem(await client.get("/orders" + path.format(id_)), 422, "invalid-id", "id")

    @pytest.mark.parametrize("id_", BAD_IDS.values(), ids=BAD_IDS.keys())
    async def test_a_command_under_a_bad_id(
        self, client: Client, store: EventStore, id_: str
    ) -> None:
        problem(await client.command(f"/orders/{id_}/place", PLACE), 422, "invalid-id", "id")
        assert await stored(store) == 0

    @pytest.mark.parametrize("id_", ["a" * 128, "A.b_c~d-9", "%34%32", "..."])
    async def test_every_id_of_the_grammar_is_taken(self, client: Client, id_: str) -> None:
        response = await client.command(f"/orders/{id_}/place", PLACE)

        assert response.status_code == 201
        assert (await client.document(f"/orders/{id_}"))["id"] == id_.replace("%34%32", "42")


def without(name: str) -> Json:
    return {key: value for key, value in PLACE.items() if key != name}


BAD_BODIES: dict[str, tuple[bytes | Json, str]] = {
    "nothing where arguments are needed": (b"", "user_id"),
    "no JSON": (b"user_id=ada", ""),
    "cut off": (b'{"user_id": "ada", "items": [', ""),
    "an array": (b"[]", ""),
    "null": (b"null", ""),
    "two documents": (json.dumps(PLACE).encode() + b" {}", ""),
    "a byte order mark": (b"\xef\xbb\xbf{}", ""),
    "not UTF-8": (b'{"user_id": "\xff"}', ""),
    "half a surrogate pair": (b'{"user_id": "\\ud800"}', ""),
    "NaN": (b'{"user_id": "ada", "items": [{"sku": "a", "quantity": NaN, "price": 1}]}', ""),
    "Infinity": (b'{"user_id": Infinity, "items": []}', ""),
    "100,000 brackets": (b"[" * 100_000, ""),
    "100,000 brackets in a field": (b'{"user_id": ' + b"[" * 100_000, "user_id"),
    "100,000 braces in an unknown field": (b'{"x": ' + b'{"x":' * 100_000, "x"),
    "an unknown field": (PLACE | {"usr_id": "eve"}, "usr_id"),
    "a missing field": (without("items"), "items"),
    "a wrong type": (PLACE | {"user_id": 7}, "user_id"),
    "null for a text": (PLACE | {"user_id": None}, "user_id"),
    "an empty text": (PLACE | {"user_id": ""}, "user_id"),
    "a long text": (PLACE | {"user_id": "a" * 501}, "user_id"),
    "a wrong type deep inside": (
        PLACE | {"items": [ITEM, ITEM | {"quantity": "two"}]},
        "items[1].quantity",
    ),
    "a fraction": (PLACE | {"items": [ITEM | {"price": 4.5}]}, "items[0].price"),
    "out of range": (PLACE | {"items": [ITEM | {"quantity": 0}]}, "items[0].quantity"),
    "too large for a number": (
        b'{"user_id": "ada", "items": [{"sku": "a", "quantity": 1, "price": 1e999}]}',
        "items[0].price",
    ),
    "missing deep inside": (PLACE | {"items": [{"sku": "a", "price": 1}]}, "items[0].quantity"),
}


class TestBodies:
    @pytest.mark.parametrize(("body", "field"), BAD_BODIES.values(), ids=BAD_BODIES.keys())
    async def test_a_bad_body(
        self, client: Client, store: EventStore, body: bytes | Json, field: str
    ) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        response = await client.post("/orders/42/place", content=content)

        problem(response, 422, "invalid-command", field)
        assert len(response.content) < 2_000
        assert await stored(store) == 0

    async def test_a_field_with_a_very_long_name(self, client: Client, store: EventStore) -> None:
        response = await client.command("/orders/42/place", {"x" * 900_000: 1})

        assert response.status_code == 422
        assert len(response.content) < 5_000
        assert await stored(store) == 0

    async def test_of_a_field_that_stands_twice_the_last_one_counts(self, client: Client) -> None:
        body = (
            b'{"user_id": "eve", "user_id": "ada", "items": [{"sku":"a","quantity":1,"price":1}]}'
        )
        response = await client.post("/orders/42/place", content=body)

        assert response.status_code == 201
        assert (await client.document("/orders/42"))["state"]["user_id"] == "ada"

    async def test_arguments_for_a_command_that_takes_none(
        self, client: Client, store: EventStore
    ) -> None:
        await client.placed("42")
        response = await client.command("/orders/42/approve", CANCEL)

        assert problem(response, 422, "invalid-command", response.json()["field"])
        assert response.json()["field"] in CANCEL
        assert await stored(store) == 1


class TestMediaTypes:
    @pytest.mark.parametrize(
        "headers",
        [
            {"content-type": "text/plain"},
            {"content-type": "application/x-www-form-urlencoded"},
            {"content-type": "multipart/form-data; boundary=x"},
            {"content-type": "application/jsonx"},
            {"content-type": ""},
            {"content-type": "application/json", "content-encoding": "gzip"},
        ],
    )
    async def test_another_media_type(
        self, client: Client, store: EventStore, headers: dict[str, str]
    ) -> None:
        content = json.dumps(PLACE)
        response = await client.post("/orders/42/place", content=content, headers=headers)

        problem(response, 415, "unsupported-media-type")
        assert await stored(store) == 0

    @pytest.mark.parametrize(
        "headers",
        [
            {},
            {"content-type": "application/json; charset=utf-8"},
            {"content-type": "Application/JSON"},
        ],
    )
    async def test_json_by_any_of_its_names(self, client: Client, headers: dict[str, str]) -> None:
        content = json.dumps(PLACE)
        response = await client.post("/orders/42/place", content=content, headers=headers)

        assert response.status_code == 201


def padded(size: int) -> bytes:
    body = json.dumps(PLACE).encode()
    return body + b" " * (size - len(body))


async def in_chunks(body: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(body), size):
        yield body[start : start + size]


class TestSizes:
    async def test_a_body_at_the_limit(self, client: Client) -> None:
        response = await client.post("/orders/42/place", content=padded(1_000_000))
        assert response.status_code == 201

    async def test_a_body_over_the_limit_is_refused_by_its_announced_length(
        self, client: Client, store: EventStore
    ) -> None:
        class Unread(Exception):
            pass

        async def unread() -> AsyncIterator[bytes]:
            raise Unread
            yield b""

        headers = {"content-length": "1000001"}
        response = await client.post("/orders/42/place", content=unread(), headers=headers)

        problem(response, 413, "body-too-large")
        assert await stored(store) == 0

    async def test_ten_megabytes_in_chunks_are_not_read_to_their_end(
        self, client: Client, store: EventStore
    ) -> None:
        sent = 0

        async def endless() -> AsyncIterator[bytes]:
            nonlocal sent
            async for chunk in in_chunks(padded(10_000_000), 100_000):
                sent += len(chunk)
                yield chunk

        response = await client.post("/orders/42/place", content=endless())

        problem(response, 413, "body-too-large")
        assert sent < 1_500_000
        assert await stored(store) == 0

    async def test_chunks_within_the_limit_are_put_together(self, client: Client) -> None:
        response = await client.post("/orders/42/place", content=in_chunks(padded(1_000), 7))
        assert response.status_code == 201

    async def test_the_limit_is_a_setting(self, store: EventStore) -> None:
        async with Runtime(store, ANYTHING.write_model) as runtime:
            app = create_app(ANYTHING, store, runtime, max_body_bytes=20)
            async with Client.of(app) as client:
                fits = await client.post("/things/1/say", content=b'{"what":123456789.0}')
                over = await client.post("/things/1/say", content=b'{"what":1234567890.0}')
        assert fits.status_code == 201
        problem(over, 413, "body-too-large")


class Said(Event):
    what: Any


class Thing(Aggregate[Said]):
    what: Any = None

    @command
    def say(self, what: Any) -> Said:
        return Said(what)

    def apply(self, event: Said) -> Self:
        return type(self)(event.what)


ANYTHING = Domain(aggregates=[Thing])


class TestAnyJson:
    """A parameter that takes any JSON decides nothing about its depth: the decoder does."""

    @pytest.mark.parametrize(
        "body",
        [b'{"what": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", b'{"what": ' + b"[" * 100_000],
        ids=["closed", "open"],
    )
    async def test_100_000_brackets(self, store: EventStore, body: bytes) -> None:
        async with (
            Runtime(store, ANYTHING.write_model) as runtime,
            Client.of(create_app(ANYTHING, store, runtime)) as client,
        ):
            response = await client.post("/things/1/say", content=body)
        problem(response, 422, "invalid-command")
        assert "nested" in response.json()["detail"]
        assert await stored(store) == 0
