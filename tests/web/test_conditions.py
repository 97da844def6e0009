"""If-Match, If-None-Match: a client that acts on what it has seen, and on nothing else."""

import pytest

from tests.web.client import CANCEL, PLACE, Client, problem, stored
from whence.store.eventstore import EventStore


class TestCommands:
    @pytest.mark.parametrize("tags", ['"1"', ' "1" ', '"1", "7"', '"abc", "1"', ',,"1"', "*"])
    async def test_if_match_lets_the_command_through_at_this_version(
        self, client: Client, tags: str
    ) -> None:
        await client.placed("42")
        response = await client.post("/orders/42/cancel", json=CANCEL, headers={"if-match": tags})

        assert response.status_code == 200
        assert response.headers["etag"] == '"2"'

    @pytest.mark.parametrize(
        "tags", ['"2"', '"0"', '"3", "4"', '"abc"', 'W/"1"', '"01"', '"1,2"', '""']
    )
    async def test_if_match_of_another_version_is_412_with_the_current_one(
        self, client: Client, store: EventStore, tags: str
    ) -> None:
        await client.placed("42")
        response = await client.post("/orders/42/cancel", json=CANCEL, headers={"if-match": tags})

        assert problem(response, 412, "precondition-failed")["version"] == 1
        assert response.headers["etag"] == '"1"'
        assert await stored(store) == 1

    async def test_if_match_star_needs_an_aggregate(
        self, client: Client, store: EventStore
    ) -> None:
        response = await client.post("/orders/42/place", json=PLACE, headers={"if-match": "*"})

        assert problem(response, 412, "precondition-failed")["version"] == 0
        assert await stored(store) == 0

    async def test_if_none_match_star_makes_the_aggregate_once(
        self, client: Client, store: EventStore
    ) -> None:
        headers = {"if-none-match": "*"}
        first = await client.post("/orders/42/place", json=PLACE, headers=headers)
        second = await client.post("/orders/42/cancel", json=CANCEL, headers=headers)

        assert first.status_code == 201
        assert problem(second, 412, "precondition-failed")["version"] == 1
        assert await stored(store) == 1

    @pytest.mark.parametrize("tags", ['"1"', '"1", "7"', '"7", "1", "0"', '"1", "2"', "*"])
    async def test_a_repeated_command_is_answered_whatever_its_condition(
        self, client: Client, tags: str
    ) -> None:
        await client.placed("42")
        headers = {"if-match": tags, "idempotency-key": "k1"}
        first = await client.post("/orders/42/cancel", json=CANCEL, headers=headers)
        again = await client.post("/orders/42/cancel", json=CANCEL, headers=headers)

        assert again.status_code == 200
        assert again.headers["idempotency-replayed"] == "true"
        assert again.json() == first.json()

    async def test_a_key_does_not_let_a_command_through_at_another_version(
        self, client: Client, store: EventStore
    ) -> None:
        await client.placed("42")
        headers = {"if-match": '"3", "7"', "idempotency-key": "k1"}
        response = await client.post("/orders/42/cancel", json=CANCEL, headers=headers)

        assert problem(response, 412, "precondition-failed")["version"] == 1
        assert await stored(store) == 1

    @pytest.mark.parametrize(
        ("headers", "field"),
        [
            ({"if-match": "1"}, "if-match"),
            ({"if-match": ""}, "if-match"),
            ({"if-match": "," + " " * 3_000 + "x"}, "if-match"),
            ({"if-match": "," + " " * 100_000 + "x"}, "if-match"),
            ({"if-match": '"1'}, "if-match"),
            ({"if-match": '"1" "2"'}, "if-match"),
            ({"if-match": "*, *"}, "if-match"),
            ({"if-none-match": '"1"'}, "if-none-match"),
            ({"if-none-match": "*", "if-match": '"1"'}, "if-none-match"),
        ],
    )
    async def test_a_condition_that_makes_no_sense_is_named(
        self, client: Client, store: EventStore, headers: dict[str, str], field: str
    ) -> None:
        response = await client.post("/orders/42/place", json=PLACE, headers=headers)

        problem(response, 422, "invalid-input", field)
        assert await stored(store) == 0


class TestReads:
    @pytest.mark.parametrize("path", ["/orders/42", "/orders/42?version=2", "/orders/42/why"])
    @pytest.mark.parametrize("tags", ['"2"', 'W/"2"', '"1", "2"', "*"])
    async def test_what_the_reader_has_already_is_304(
        self, client: Client, path: str, tags: str
    ) -> None:
        await client.cancelled("42")
        response = await client.get(path, headers={"if-none-match": tags})

        assert response.status_code == 304
        assert response.headers["etag"] == '"2"'
        assert response.content == b""

    @pytest.mark.parametrize("tags", ['"1"', '"abc"'])
    async def test_what_it_does_not_have_is_sent(self, client: Client, tags: str) -> None:
        await client.cancelled("42")
        response = await client.get("/orders/42", headers={"if-none-match": tags})

        assert response.status_code == 200
        assert response.json()["version"] == 2

    async def test_if_match_asks_for_one_version(self, client: Client) -> None:
        await client.placed("42")
        same = await client.get("/orders/42", headers={"if-match": '"1"'})
        other = await client.get("/orders/42", headers={"if-match": '"2"'})

        assert same.status_code == 200
        assert problem(other, 412, "precondition-failed")["version"] == 1
