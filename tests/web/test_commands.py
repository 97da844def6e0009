"""POST /orders/42/place: what a client sends, and what it gets back."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Self

import httpx
import pytest
from starlette.applications import Starlette

from tests.web.client import CANCEL, ITEM, PLACE, Client, problem, stored
from whence import Aggregate, Domain, Event, Rejected, Runtime, command, replace
from whence.actors.receipt import Receipt
from whence.actors.request import CommandRequest
from whence.store.errors import (
    ChecksumMismatch,
    Conflict,
    DeadlineExceeded,
    DurabilityRefused,
    OutcomeUnknown,
    Overloaded,
    ServerRefused,
    StoreUnavailable,
    WhenceError,
)
from whence.store.eventstore import EventStore
from whence.store.ids import StreamId
from whence.web.app import create_app


class AddressChanged(Event):
    city: str


class Person(Aggregate[AddressChanged], plural="people"):
    city: str = ""

    @command
    def change_address(self, city: str, times: int = 1) -> list[AddressChanged]:
        if city == "Atlantis":
            raise Rejected("nobody lives in Atlantis")
        if city == "Nowhere":
            raise ZeroDivisionError("secret: 4711")
        return [AddressChanged(city)] * times

    def apply(self, event: AddressChanged) -> Self:
        return replace(self, city=event.city)


PEOPLE = Domain(aggregates=[Person])


@pytest.fixture
async def people_app(store: EventStore) -> AsyncIterator[Starlette]:
    async with Runtime(store, PEOPLE.write_model) as runtime:
        yield create_app(PEOPLE, store, runtime)


@pytest.fixture
async def people(people_app: Starlette) -> AsyncIterator[Client]:
    async with Client.of(people_app) as client:
        yield client


class TestAnswers:
    async def test_the_first_command_creates_the_aggregate(
        self, client: Client, store: EventStore
    ) -> None:
        before = datetime.now(UTC)
        response = await client.command("/orders/42/place", PLACE)

        assert response.status_code == 201
        assert response.headers["location"] == "/orders/42"
        assert response.headers["etag"] == '"1"'
        assert response.headers["content-type"] == "application/json"
        body = response.json()
        (event,) = body.pop("events")
        assert body == {
            "id": "42",
            "version": 1,
            "partition": store.keys.partition(StreamId("order", "42")),
            "position": 1,
        }
        assert before <= datetime.fromisoformat(event.pop("occurred_at")) <= datetime.now(UTC)
        assert event == {
            "type": "OrderPlaced",
            "version": 1,
            "data": {"user_id": "ada", "items": [ITEM]},
        }

    async def test_the_next_command_changes_it(self, client: Client) -> None:
        await client.placed("42")
        response = await client.command("/orders/42/cancel", CANCEL)

        assert response.status_code == 200
        assert "location" not in response.headers
        assert response.headers["etag"] == '"2"'
        assert [e["type"] for e in response.json()["events"]] == ["OrderCancelled"]

    async def test_a_command_without_parameters_needs_no_body(self, client: Client) -> None:
        await client.placed("42")
        response = await client.post("/orders/42/approve")

        assert response.status_code == 200

    async def test_underscores_of_a_name_are_hyphens_in_its_address(self, people: Client) -> None:
        response = await people.command("/people/ada/change-address", {"city": "London"})

        assert response.status_code == 201
        assert response.headers["location"] == "/people/ada"
        other = await people.command("/people/ada/change_address", {"city": "London"})
        assert "'change-address'" not in problem(other, 404, "unknown-command")["title"]
        assert "change-address" in other.json()["detail"]

    async def test_several_events_have_their_versions(self, people: Client) -> None:
        response = await people.command(
            "/people/ada/change-address", {"city": "London", "times": 3}
        )

        assert response.status_code == 201
        assert response.headers["etag"] == '"3"'
        assert [event["version"] for event in response.json()["events"]] == [1, 2, 3]

    async def test_a_command_that_decides_nothing_stores_nothing(
        self, people: Client, store: EventStore
    ) -> None:
        response = await people.command("/people/ada/change-address", {"city": "", "times": 0})

        assert response.status_code == 200
        assert (response.json()["version"], response.json()["events"]) == (0, [])
        assert await stored(store) == 0

    async def test_below_a_root_path_location_names_it(self, people_app: Starlette) -> None:
        transport = httpx.ASGITransport(app=people_app, root_path="/api")
        async with Client(transport=transport, base_url="http://whence.test") as client:
            response = await client.command("/api/people/ada/change-address", {"city": "London"})
        assert response.status_code == 201
        assert response.headers["location"] == "/api/people/ada"


class TestRefusals:
    async def test_a_rejected_command_stores_nothing(
        self, client: Client, store: EventStore
    ) -> None:
        await client.placed("42")
        response = await client.command("/orders/42/place", PLACE)

        found = problem(response, 409, "rejected")
        assert found["detail"] == "this order has already been placed"
        assert found["instance"] == "/orders/42/place"
        assert await stored(store) == 1

    @pytest.mark.parametrize(
        ("path", "name"),
        [
            ("/orders/42/explode", "unknown-command"),
            ("/orders/42/place/", "not-found"),
            ("/orders/42/place/now", "not-found"),
            ("/orders", "not-found"),
            ("/customers/42/place", "not-found"),
            ("/order/42/place", "not-found"),
            ("/nothing", "not-found"),
        ],
    )
    async def test_what_is_not_there(
        self, client: Client, store: EventStore, path: str, name: str
    ) -> None:
        problem(await client.command(path, PLACE), 404, name)
        assert await stored(store) == 0

    @pytest.mark.parametrize(
        ("method", "path", "allowed"),
        [
            ("GET", "/orders/42/place", "POST"),
            ("PUT", "/orders/42/place", "POST"),
            ("POST", "/orders/42", "GET, HEAD"),
            ("PUT", "/orders/place", "GET, HEAD, POST"),
            ("DELETE", "/orders/42", "GET, HEAD"),
            ("POST", "/orders/42/events", "GET, HEAD"),
            ("POST", "/orders/42/why", "GET, HEAD"),
            ("POST", "/views/order-list", "GET, HEAD"),
            ("POST", "/livez", "GET, HEAD"),
        ],
    )
    async def test_a_wrong_method(
        self, client: Client, store: EventStore, method: str, path: str, allowed: str
    ) -> None:
        response = await client.request(method, path, content=b"{}")

        problem(response, 405, "method-not-allowed")
        assert sorted(response.headers["allow"].split(", ")) == allowed.split(", ")
        assert await stored(store) == 0

    async def test_a_command_takes_no_query(self, client: Client, store: EventStore) -> None:
        response = await client.command("/orders/42/place?user_id=eve", PLACE)

        problem(response, 422, "invalid-input", "user_id")
        assert await stored(store) == 0


STREAM = StreamId("order", "42")


class Failing(Runtime):
    """A runtime on which every command ends in one error."""

    error: Exception

    async def execute(self, request: CommandRequest) -> Receipt:
        raise self.error


class TestFailures:
    @pytest.mark.parametrize(
        ("error", "status", "name"),
        [
            (Conflict(STREAM, None, 7, attempts=20), 409, "conflict"),
            (OutcomeUnknown("an append", "no answer from 10.0.0.5"), 503, "outcome-unknown"),
            (StoreUnavailable("redis://10.0.0.5", "refused"), 503, "store-unavailable"),
            (Overloaded("this process", 50_000, 2.4), 503, "overloaded"),
            (DeadlineExceeded(STREAM), 504, "deadline-exceeded"),
            (ServerRefused("to append", "OOM at 10.0.0.5"), 503, "store-refused"),
            (DurabilityRefused("10.0.0.5", "no log", "set one"), 503, "store-not-durable"),
            (ChecksumMismatch(STREAM, 3), 500, "corrupt-store"),
            (WhenceError("about 10.0.0.5"), 500, "internal-error"),
            (RuntimeError("about 10.0.0.5"), 500, "internal-error"),
        ],
    )
    async def test_each_failure_has_its_problem(
        self, store: EventStore, error: Exception, status: int, name: str
    ) -> None:
        runtime = Failing(store, PEOPLE.write_model)
        runtime.error = error
        async with Client.of(create_app(PEOPLE, store, runtime)) as client:
            response = await client.command("/people/1/change-address", {"city": "London"})

        found = problem(response, status, name)
        assert "10.0.0.5" not in response.text
        assert found.get("version") == (7 if name == "conflict" else None)
        retry_after = {"store-unavailable": "1", "overloaded": "3"}.get(name)
        assert response.headers.get("retry-after") == retry_after

    async def test_a_bug_in_a_command_tells_strangers_nothing(
        self, people: Client, store: EventStore
    ) -> None:
        response = await people.command("/people/1/change-address", {"city": "Nowhere"})

        problem(response, 500, "internal-error")
        assert "4711" not in response.text
        assert await stored(store) == 0

    async def test_a_bug_reaches_the_server_that_logs_it(self, people_app: Starlette) -> None:
        transport = httpx.ASGITransport(app=people_app)
        async with Client(transport=transport, base_url="http://whence.test") as client:
            with pytest.raises(ZeroDivisionError):
                await client.command("/people/1/change-address", {"city": "Nowhere"})


async def test_an_idempotency_key_makes_a_command_safe_to_repeat(client: Client) -> None:
    key = {"Idempotency-Key": '"8e03978e-40d5-43dd-bc93-6894a57f9324"'}
    first = await client.post("/orders/42/place", json=PLACE, headers=key)

    again = await client.post("/orders/42/place", json=PLACE, headers=key)

    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == first.json()
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"


async def test_an_idempotency_key_is_not_for_two_commands(
    client: Client, store: EventStore
) -> None:
    key = {"Idempotency-Key": "k-1"}
    await client.post("/orders/42/place", json=PLACE, headers=key)

    other = await client.post("/orders/42/cancel", json=CANCEL, headers=key)

    problem(other, 422, "command-id-reused", "command id")
    assert await stored(store) == 1


@pytest.mark.parametrize("key", ["", '""', "a b", "{a}", "a" * 129])
async def test_an_idempotency_key_that_cannot_be_one_is_refused(
    client: Client, store: EventStore, key: str
) -> None:
    refused = await client.post("/orders/42/place", json=PLACE, headers={"Idempotency-Key": key})

    problem(refused, 422, "invalid-id", "Idempotency-Key")
    assert await stored(store) == 0


class Listening(Runtime):
    """A runtime that notes how long each command may take to be decided."""

    within: float | None = None

    async def execute(self, request: CommandRequest) -> Receipt:
        self.within = request.within
        return await super().execute(request)


@pytest.mark.parametrize(("header", "within"), [("2", 2.0), ("0.5", 0.5), ("3600", 3_600.0)])
async def test_whence_within_says_how_long_a_command_may_take_to_be_decided(
    store: EventStore, header: str, within: float
) -> None:
    async with Listening(store, PEOPLE.write_model) as runtime:
        async with Client.of(create_app(PEOPLE, store, runtime)) as client:
            response = await client.post(
                "/people/1/change-address",
                json={"city": "London"},
                headers={"Whence-Within": header},
            )

        assert response.status_code == 201
        assert runtime.within == within


@pytest.mark.parametrize("header", ["", "0", "-1", "soon", "1e3", "nan", "inf", "3601", "1,5"])
async def test_whence_within_that_is_no_span_of_time_is_refused(
    client: Client, store: EventStore, header: str
) -> None:
    refused = await client.post("/orders/42/place", json=PLACE, headers={"Whence-Within": header})

    problem(refused, 422, "invalid-input", "Whence-Within")
    assert await stored(store) == 0


async def test_a_full_mailbox_tells_the_client_when_to_come_back(store: EventStore) -> None:
    runtime = Runtime(store, PEOPLE.write_model, max_waiting=0)
    async with runtime, Client.of(create_app(PEOPLE, store, runtime)) as client:
        response = await client.command("/people/1/change-address", {"city": "London"})

    found = problem(response, 503, "overloaded")
    assert "nothing was stored" in found["detail"]
    assert int(response.headers["retry-after"]) >= 1
    assert await stored(store) == 0
