"""What can be read of an order: its state at any time, its events, and why it is so."""

from datetime import UTC, datetime, timedelta

import pytest

from examples.orders.domain import OrderApproved, OrderPlaced, domain
from tests.web.client import CANCEL, ITEM, PLACE, Client, problem
from whence import Event
from whence.store.append import Append, NewEvent
from whence.store.eventstore import EventStore
from whence.store.ids import StreamId
from whence.store.metadata import Metadata, encode_metadata
from whence.store.recorded import microseconds
from whence.store.registry import EventRegistry

ORDER = StreamId("order", "42")
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


class Teleported(Event):
    """An event of a release that this one does not know."""

    where: str


async def imported(store: EventStore, *days: int) -> None:
    """An order placed at noon, and approved on further days after that."""
    registry = domain.write_model.events
    events: list[Event] = [OrderPlaced("ada", ()), *[OrderApproved() for _ in days]]
    moments = [NOON, *[NOON + timedelta(days=day) for day in days]]
    metadata = encode_metadata(Metadata(who="clerk", notes={"inferred": "moment"}))
    new = [
        NewEvent(registry.encode(event), metadata, microseconds(moment))
        for event, moment in zip(events, moments, strict=True)
    ]
    await store.append(Append(ORDER, 0, "import", new))


async def teleported(store: EventStore, version: int) -> None:
    event = NewEvent(EventRegistry([Teleported]).encode(Teleported("Mars")))
    await store.append(Append(ORDER, version, "beam", [event]))


class TestState:
    async def test_now(self, client: Client) -> None:
        await client.cancelled("42")
        response = await client.get("/orders/42")

        assert response.status_code == 200
        assert response.headers["etag"] == '"2"'
        body = response.json()
        datetime.fromisoformat(body.pop("occurred_at"))
        assert body == {
            "id": "42",
            "type": "order",
            "version": 2,
            "state": {
                "user_id": "ada",
                "items": [ITEM],
                "status": "cancelled",
                "approved": False,
                "carrier": "",
                "reason": "out of stock",
            },
        }

    async def test_as_of_a_version(self, client: Client) -> None:
        await client.cancelled("42")
        response = await client.get("/orders/42?version=1")

        assert response.json()["state"]["status"] == "pending"
        assert response.headers["etag"] == '"1"'

    @pytest.mark.parametrize(
        ("at", "version"),
        [
            ("2026-01-31T12:00:00Z", 1),
            ("2026-01-31T13:00:00%2B01:00", 1),
            ("2026-02-01T11:59:59.999999Z", 1),
            ("2026-02-01T12:00:00Z", 2),
            ("9999-12-31T23:59:59-14:00", 2),
        ],
    )
    async def test_as_of_a_moment(
        self, client: Client, store: EventStore, at: str, version: int
    ) -> None:
        await imported(store, 1)
        body = await client.document(f"/orders/42?at={at}")

        assert body["version"] == version
        assert body["state"]["approved"] == (version == 2)

    async def test_before_it_existed(self, client: Client, store: EventStore) -> None:
        await imported(store)
        response = await client.get("/orders/42?at=0001-01-01T00:00:00%2B14:00")

        problem(response, 404, "aggregate-not-found")

    async def test_of_nothing(self, client: Client) -> None:
        problem(await client.get("/orders/42"), 404, "aggregate-not-found")
        problem(await client.get("/orders/42?version=1"), 404, "aggregate-not-found")

    async def test_of_a_version_that_is_still_to_come(self, client: Client) -> None:
        await client.placed("42")
        found = problem(await client.get("/orders/42?version=2"), 404, "version-not-found")
        assert found["version"] == 1

    async def test_head_has_no_body(self, client: Client) -> None:
        await client.placed("42")
        assert (await client.head("/orders/42")).headers["etag"] == '"1"'


class TestParameters:
    @pytest.mark.parametrize(
        ("path", "field"),
        [
            ("?version=0", "version"),
            ("?version=-1", "version"),
            ("?version=two", "version"),
            ("?version=1.0", "version"),
            ("?version=%D9%A1", "version"),
            ("?version=", "version"),
            ("?version=99999999999999999999", "version"),
            ("?version=" + "9" * 5000, "version"),
            ("?version=1&version=2", "version"),
            ("?at=2026-01-31T12:00:00", "at"),
            ("?at=2026-01-31", "at"),
            ("?at=2026-01-31T12:00:00+01:00", "at"),
            ("?at=yesterday", "at"),
            ("?at=%ff", "at"),
            ("?version=1&at=2026-01-31T12:00:00Z", "at"),
            ("?verzion=1", "verzion"),
            ("?field=status", "field"),
            ("/events?version=1", "version"),
            ("/events?limit=0", "limit"),
            ("/events?limit=501", "limit"),
            ("/events?after=-1", "after"),
            ("/why?version=1", "version"),
            ("?" + "&".join(f"p{n}" for n in range(101)), ""),
        ],
    )
    async def test_what_is_not_acceptable(self, client: Client, path: str, field: str) -> None:
        await client.placed("42")
        problem(await client.get(f"/orders/42{path}"), 422, "invalid-input", field)

    async def test_a_moment_without_offset_says_what_to_write(self, client: Client) -> None:
        response = await client.get("/orders/42?at=2026-01-31T12:00:00")
        assert "2026-01-31T12:00:00Z" in response.json()["detail"]

    async def test_an_unknown_name_says_which_ones_there_are(self, client: Client) -> None:
        detail = (await client.get("/orders/42?foo=1")).json()["detail"]
        assert "'foo'" in detail
        assert "version, at" in detail


class TestEvents:
    async def test_an_event_is_told_whole(self, client: Client, store: EventStore) -> None:
        await imported(store)
        body = await client.document("/orders/42/events")

        assert body == {
            "id": "42",
            "type": "order",
            "partition": store.keys.partition(ORDER),
            "events": [
                {
                    "version": 1,
                    "type": "OrderPlaced",
                    "schema_version": 1,
                    "position": 1,
                    "occurred_at": "2026-01-31T12:00:00Z",
                    "command_id": "import",
                    "metadata": {"who": "clerk", "notes": {"inferred": "moment"}},
                    "data": {"user_id": "ada", "items": []},
                }
            ],
            "next": None,
        }

    async def test_without_metadata_there_is_an_empty_object(self, client: Client) -> None:
        await client.placed("42")
        (event,) = (await client.document("/orders/42/events"))["events"]
        assert event["metadata"] == {}
        assert event["data"] == PLACE

    async def test_page_by_page(self, client: Client, store: EventStore) -> None:
        await imported(store, 1, 2, 3, 4)
        after, pages = 0, list[list[int]]()
        while after is not None:
            page = await client.document(f"/orders/42/events?limit=2&after={after}")
            pages.append([event["version"] for event in page["events"]])
            after = page["next"]
        assert pages == [[1, 2], [3, 4], [5]]

    async def test_a_full_last_page_has_no_next(self, client: Client, store: EventStore) -> None:
        await imported(store, 1)
        page = await client.document("/orders/42/events?limit=2")
        assert (len(page["events"]), page["next"]) == (2, None)

    async def test_after_the_last_one(self, client: Client) -> None:
        await client.placed("42")
        page = await client.document("/orders/42/events?after=1")
        assert (page["events"], page["next"]) == ([], None)

    @pytest.mark.parametrize("query", ["", "?after=1"])
    async def test_of_nothing(self, client: Client, query: str) -> None:
        response = await client.get(f"/orders/42/events{query}")
        problem(response, 404, "aggregate-not-found")


class TestUnknownEventType:
    """An event of a newer release is stored: what needs its class fails, the rest goes on."""

    @pytest.mark.parametrize("path", ["/orders/42", "/orders/42/why"])
    async def test_what_needs_its_class_names_it(
        self, client: Client, store: EventStore, path: str
    ) -> None:
        await client.placed("42")
        await teleported(store, 1)

        found = problem(await client.get(path), 500, "unknown-event-type")
        assert "Teleported" in found["detail"]
        assert "version 2 of order/42" in found["detail"]

    async def test_a_command_changes_nothing(self, client: Client, store: EventStore) -> None:
        await teleported(store, 0)

        response = await client.command("/orders/42/place", PLACE)
        problem(response, 500, "unknown-event-type")
        assert await store.head(ORDER) == 1

    async def test_the_events_and_the_state_before_it_can_be_read(
        self, client: Client, store: EventStore
    ) -> None:
        await client.placed("42")
        await teleported(store, 1)

        events = (await client.document("/orders/42/events"))["events"]
        assert events[1]["type"] == "Teleported"
        assert events[1]["data"] == {"where": "Mars"}
        assert (await client.document("/orders/42?version=1"))["version"] == 1


class TestWhy:
    async def test_every_field_names_the_event_that_last_set_it(self, client: Client) -> None:
        await client.cancelled("42")
        body = await client.document("/orders/42/why")

        assert (body["id"], body["type"], body["version"]) == ("42", "order", 2)
        fields = body["fields"]
        assert list(fields) == ["user_id", "items", "status", "approved", "carrier", "reason"]
        assert fields["approved"] is None
        assert fields["carrier"] is None
        status = fields["status"]
        datetime.fromisoformat(status["occurred_at"])
        assert {name: status[name] for name in ("old", "new", "type", "version")} == {
            "old": "pending",
            "new": "cancelled",
            "type": "OrderCancelled",
            "version": 2,
        }
        assert (status["who"], status["reason"]) == ("grace", CANCEL["reason"])
        assert fields["user_id"]["version"] == 1

    async def test_one_field_tells_its_whole_history(self, client: Client) -> None:
        await client.cancelled("42")
        body = await client.document("/orders/42/why?field=status")

        assert (body["field"], body["value"]) == ("status", "cancelled")
        assert [(c["old"], c["new"]) for c in body["history"]] == [
            ("new", "pending"),
            ("pending", "cancelled"),
        ]
        assert body["last"] == body["history"][-1]

    async def test_a_field_that_nothing_has_set(self, client: Client) -> None:
        await client.placed("42")
        body = await client.document("/orders/42/why?field=carrier")
        assert (body["value"], body["last"], body["history"]) == ("", None, [])

    async def test_what_the_metadata_says_is_told(self, client: Client, store: EventStore) -> None:
        await imported(store)
        last = (await client.document("/orders/42/why?field=status"))["last"]
        assert (last["who"], last["notes"]) == ("clerk", {"inferred": "moment"})
        assert last["occurred_at"] == "2026-01-31T12:00:00Z"

    async def test_an_unknown_field(self, client: Client) -> None:
        await client.placed("42")
        response = await client.get("/orders/42/why?field=colour")
        problem(response, 404, "unknown-field", "colour")
        assert "status" in response.json()["detail"]

    async def test_of_nothing(self, client: Client) -> None:
        problem(await client.get("/orders/42/why"), 404, "aggregate-not-found")
