"""Server-sent events: every event once, from any place on, until one side has enough."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple, cast

import httpx
import pytest
from starlette.applications import Starlette

from examples.orders import domain
from tests.web.client import CANCEL, PLACE, Client, problem
from tests.web.serving import serving
from whence import Runtime
from whence.store.eventstore import EventStore
from whence.store.ids import StreamId
from whence.web import eventstream, live
from whence.web.app import create_app

PATIENCE = 30.0
STREAM = {"accept": "text/event-stream"}


class Block(NamedTuple):
    """One server-sent event; ``data`` is None where it has none."""

    event: str
    id: str
    data: Any


class Listener:
    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self._blocks = _blocks(response)

    async def take(self, count: int) -> list[Block]:
        async with asyncio.timeout(PATIENCE):
            return [await anext(self._blocks) for _ in range(count)]

    async def versions(self, count: int) -> list[tuple[str, int]]:
        return [(b.data["subject"], b.data["version"]) for b in await self.take(count)]

    async def rest(self) -> list[Block]:
        async with asyncio.timeout(PATIENCE):
            return [block async for block in self._blocks]


async def _blocks(response: httpx.Response) -> AsyncIterator[Block]:
    fields: dict[str, str] = {}
    async for line in response.aiter_lines():
        name, _, value = line.partition(": ")
        if name:
            fields[name] = value
        elif "retry" not in fields:
            data = json.loads(fields["data"]) if "data" in fields else None
            yield Block(fields.get("event", ""), fields.get("id", ""), data)
            fields = {}
        else:
            fields = {}


class Site(httpx.AsyncClient):
    """A client of the real server."""

    @asynccontextmanager
    async def listening(self, path: str, **headers: str) -> AsyncGenerator[Listener]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.stream("GET", path, headers=STREAM | named) as response:
            assert response.status_code == 200, await response.aread()
            yield Listener(response)

    async def place(self, *ids: str) -> None:
        for id_ in ids:
            assert (await self.post(f"/orders/{id_}/place", json=PLACE)).status_code == 201

    async def cancel(self, id_: str) -> None:
        assert (await self.post(f"/orders/{id_}/cancel", json=CANCEL)).status_code == 200


@asynccontextmanager
async def site_of(app: Starlette) -> AsyncGenerator[Site]:
    async with serving(app) as port, Site(base_url=f"http://127.0.0.1:{port}") as site:
        yield site
        app.state.live.end()


@pytest.fixture
async def site(app: Starlette) -> AsyncIterator[Site]:
    async with site_of(app) as site:
        yield site


class TestOneAggregate:
    async def test_what_was_comes_before_what_is_new(self, site: Site) -> None:
        await site.place("42")
        async with site.listening("/orders/42/events") as listener:
            assert listener.response.headers["content-type"].startswith("text/event-stream")
            assert await listener.versions(1) == [("order/42", 1)]
            await site.place("43")
            await site.cancel("42")
            (block,) = await listener.take(1)

        assert (block.event, block.id) == ("", "2")
        assert block.data["type"] == "OrderCancelled"
        assert block.data["data"] == CANCEL

    async def test_a_reader_that_returns_goes_on_where_it_was(self, site: Site) -> None:
        await site.place("42")
        await site.cancel("42")
        async with site.listening("/orders/42/events", last_event_id="1") as listener:
            assert await listener.versions(1) == [("order/42", 2)]
        async with site.listening("/orders/42/events?after=1") as listener:
            assert await listener.versions(1) == [("order/42", 2)]

    async def test_of_nothing(self, client: Client) -> None:
        response = await client.get("/orders/42/events", headers=STREAM)
        problem(response, 404, "aggregate-not-found")

    @pytest.mark.parametrize("id_", ["x", "-1", "1.5", ""])
    async def test_a_place_that_is_none(self, client: Client, id_: str) -> None:
        await client.placed("42")
        headers = STREAM | {"last-event-id": id_}
        response = await client.get("/orders/42/events", headers=headers)
        problem(response, 422, "invalid-input", "last-event-id")


class TestTheLog:
    async def test_it_begins_now(self, site: Site) -> None:
        await site.place("1")
        async with site.listening("/events") as listener:
            await site.place("2")
            assert await listener.versions(1) == [("order/2", 1)]

    async def test_or_at_the_start(self, site: Site) -> None:
        await site.place("1", "2", "3")
        async with site.listening("/events?after=start") as listener:
            found = await listener.versions(3)
        assert sorted(found) == [("order/1", 1), ("order/2", 1), ("order/3", 1)]

    async def test_a_reader_that_returns_misses_nothing_and_gets_nothing_twice(
        self, site: Site, store: EventStore
    ) -> None:
        ids = [str(number) for number in range(40)]
        got: list[tuple[str, int]] = []
        place = "start"
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(site.place(*ids))
            while len(got) < len(ids):  # each time by another process
                async with (
                    Runtime(store, domain.write_model) as runtime,
                    site_of(create_app(domain, store, runtime)) as elsewhere,
                    elsewhere.listening(f"/events?after={place}") as listener,
                ):
                    for block in await listener.take(5):
                        got.append((block.data["subject"], block.data["version"]))
                        place = block.id
        assert sorted(got) == sorted((f"order/{id_}", 1) for id_ in ids)

    async def test_only_some_types(self, site: Site) -> None:
        async with site.listening("/events?types=OrderCancelled,OrderShipped") as listener:
            await site.place("1", "2")
            await site.cancel("2")
            assert await listener.versions(1) == [("order/2", 2)]

    async def test_silence_moves_the_place_of_a_reader_who_wants_little(
        self, site: Site, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(eventstream, "HEARTBEAT", 0.01)
        async with site.listening("/events?types=OrderShipped") as listener:
            (before,) = await listener.take(1)
            await site.place("1")
            while (after := (await listener.take(1))[0]).id == before.id:
                pass
        assert (before.data, after.data) == (None, None)
        monkeypatch.undo()
        async with site.listening(f"/events?after={after.id}") as listener:
            await site.place("2")
            assert await listener.versions(1) == [("order/2", 1)]

    @pytest.mark.parametrize(
        ("query", "field"),
        [
            ("types=OrderPlaced,Unknown", "types"),
            ("types=", "types"),
            ("after=x", "after"),
            ("after=AAAA", "after"),
            ("after=kQE", "after"),
            ("after=%C3%A9", "after"),
            ("since=1", "since"),
        ],
    )
    async def test_what_makes_no_sense_is_named(
        self, client: Client, query: str, field: str
    ) -> None:
        problem(await client.get(f"/events?{query}", headers=STREAM), 422, "invalid-input", field)

    async def test_a_wrong_method_or_address(self, client: Client) -> None:
        problem(await client.post("/events"), 405, "method-not-allowed")
        problem(await client.get("/events/1"), 404, "not-found")


async def test_the_place_comes_before_the_first_event(site: Site) -> None:
    await site.place("1")
    async with site.stream("GET", "/events", headers=STREAM) as response:
        lines = response.aiter_lines()
        async with asyncio.timeout(PATIENCE):
            first = [await anext(lines) for _ in range(2)]
    assert first[0] == "retry: 2000"
    place = first[1].removeprefix("id: ")
    await site.place("2")
    async with site.listening(f"/events?after={place}") as listener:
        assert await listener.versions(1) == [("order/2", 1)]


async def test_head_has_an_end(client: Client) -> None:
    await client.placed("42")
    response = await client.head("/orders/42/events", headers=STREAM)
    assert response.headers["content-type"] == "application/json"


class TestEnds:
    async def test_what_follows_on_from_a_gap_is_not_given_to_a_slow_subscriber(
        self, site: Site, app: Starlette, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(live, "MAX_WAITING", 1)
        tail = cast("live.Live", app.state.live)
        with tail.subscribe() as slow, tail.subscribe() as watching:
            await tail.joined()
            await site.place("1", "2")
            async with asyncio.timeout(PATIENCE):
                while slow.ending is None or watching.ending is None:
                    await asyncio.sleep(0)
            assert len(await slow.take(1)) == 1
            await site.place("3")
            assert await slow.take(1) == []

    async def test_a_server_that_stops_ends_its_streams_at_once(
        self, site: Site, app: Starlette
    ) -> None:
        await site.place("42")
        async with (
            site.listening("/orders/42/events") as one,
            site.listening("/events") as all_of_them,
        ):
            await one.take(1)
            app.state.live.end()
            assert await one.rest() == [Block("end", "", {"reason": "shutdown"})]
            assert await all_of_them.rest() == [Block("end", "", {"reason": "shutdown"})]
        async with site.listening("/events") as late:
            assert await late.rest() == [Block("end", "", {"reason": "shutdown"})]

    async def test_who_does_not_keep_up_is_told_and_can_go_on(
        self, site: Site, app: Starlette, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(live, "MAX_WAITING", 2)
        tail = cast("live.Live", app.state.live)
        with tail.subscribe() as slow:
            await tail.joined()
            await site.place("1", "2", "3")
            async with asyncio.timeout(PATIENCE):
                while slow.ending is None:
                    await asyncio.sleep(0)
                assert len(await slow.take(1)) == 2
                assert await slow.take(1) == []
        assert slow.ending == "too slow"

    async def test_who_falls_behind_while_reading_the_past_reads_on(
        self, site: Site, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(live, "MAX_WAITING", 1)
        await site.place(*[str(number) for number in range(10)])
        async with site.listening("/events?after=start") as listener:
            found = await listener.versions(10)
        assert len(set(found)) == 10

    async def test_there_are_only_so_many(self, store: EventStore, runtime: Runtime) -> None:
        app = create_app(domain, store, runtime, max_subscribers=1)
        async with site_of(app) as site:
            await site.place("42")
            async with site.listening("/orders/42/events") as listener:
                await listener.take(1)
                refused = await site.get("/events", headers=STREAM)
                assert problem(refused, 503, "too-many-subscribers")
                assert refused.headers["retry-after"] == "5"

    async def test_who_leaves_makes_room_and_the_log_is_no_longer_read(
        self, site: Site, app: Starlette
    ) -> None:
        tail = cast("live.Live", app.state.live)
        await site.place("42")
        async with site.listening("/orders/42/events") as listener:
            await listener.take(1)
            assert (tail.subscribers, tail.reading) == (1, True)
        async with asyncio.timeout(PATIENCE):
            while tail.subscribers:
                await asyncio.sleep(0)
        assert not tail.reading


async def test_cloud_events_in_a_page(client: Client, store: EventStore) -> None:
    await client.cancelled("42")
    response = await client.get(
        "/orders/42/events?limit=1&after=1",
        headers={"accept": "application/cloudevents-batch+json"},
    )

    assert response.headers["content-type"] == "application/cloudevents-batch+json"
    (event,) = response.json()
    assert event.pop("time").endswith("Z")
    assert event.pop("commandid")
    assert event == {
        "specversion": "1.0",
        "id": "order/42@2",
        "source": f"urn:uuid:{store.identity.uuid}",
        "type": "OrderCancelled",
        "subject": "order/42",
        "datacontenttype": "application/json",
        "data": CANCEL,
        "version": 2,
        "schemaversion": 1,
        "partition": store.keys.partition(StreamId("order", "42")),
        "position": "2",
    }
