"""What a process tells Prometheus: after real requests, with a store and without one."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from msgspec import Struct
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from examples.orders import domain
from examples.orders.domain import Approval
from tests.reactions.domain import handled, reacting
from tests.web.client import CANCEL, PLACE, Client
from whence import Runtime
from whence.projections.worker import Worker
from whence.store.address import Address
from whence.store.eventstore import EventStore
from whence.store.identity import Identity
from whence.store.ids import StreamId
from whence.store.keys import Keys
from whence.web.app import create_app
from whence.web.metering import HttpMeter
from whence.web.metrics.exposition import exposition
from whence.web.metrics.loop import LoopLag
from whence.web.metrics.sources import web_sources

DOCS = Path(__file__).resolve().parents[2] / "docs"


class Watched:
    """An application and what it tells about itself."""

    def __init__(self, store: EventStore, runtime: Runtime) -> None:
        meter = HttpMeter()
        app = create_app(domain, store, runtime, meter=meter)
        self.client = Client.of(app)
        self.lag = LoopLag()
        sources = web_sources(domain, store, runtime, app.state.live, meter)
        self.metrics = Client.of(exposition([*sources, self.lag]))

    async def text(self) -> str:
        response = await self.metrics.get("/metrics")
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
        return response.text

    async def families(self) -> dict[str, Metric]:
        return {one.name: one for one in text_string_to_metric_families(await self.text())}

    async def value(self, sample: str, **labels: str) -> float:
        """The one sample of this name with at least these labels."""
        (found,) = [
            one.value
            for family in (await self.families()).values()
            for one in family.samples
            if one.name == sample and labels.items() <= one.labels.items()
        ]
        return found


@pytest.fixture
async def watched(store: EventStore, runtime: Runtime) -> AsyncIterator[Watched]:
    watched = Watched(store, runtime)
    async with watched.client, watched.metrics:
        yield watched


async def test_commands_are_counted_by_what_became_of_them(watched: Watched) -> None:
    await watched.client.placed("1", "2")
    assert (await watched.client.command("/orders/1/place", PLACE)).status_code == 409

    assert await watched.value("whence_commands_total", aggregate="order", outcome="stored") == 2
    assert await watched.value("whence_commands_total", aggregate="order", outcome="rejected") == 1
    assert await watched.value("whence_live_actors", aggregate="order") == 2
    decided = await watched.value("whence_command_decide_seconds_count", aggregate="order")
    assert decided >= 3


async def test_answers_are_counted_by_route_and_status(watched: Watched) -> None:
    await watched.client.placed("1", "2")
    await watched.client.get("/orders/1")
    await watched.client.get("/orders/404")

    async def answers(method: str, route: str, status: str) -> float:
        return await watched.value(
            "whence_http_request_seconds_count", method=method, route=route, status=status
        )

    assert await answers("POST", "/orders/{id}/place", "201") == 2
    assert await answers("GET", "/orders/{id}", "200") == 1
    assert await answers("GET", "/orders/{id}", "404") == 1


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/orders/7/why", "/orders/{id}/why"),
        ("/orders/7/events?after=1", "/orders/{id}/events"),
        ("/orders/7/guess", "other"),
        ("/orders/7/why/more", "other"),
        ("/guess/7", "other"),
        ("/", "/"),
        ("/livez", "/livez"),
        ("/livez/7", "other"),
        ("/views", "/views"),
        ("/views/order-list", "/views/order-list"),
        ("/views/order-list/7", "/views/order-list/{key}"),
        ("/views/guess", "other"),
        ("/views/guess/7", "other"),
        ("/explorer", "/explorer"),
        ("/explorer/store", "/explorer/store"),
        ("/explorer/guess", "/explorer"),
        ("/explorer/aggregates/order/7", "/explorer/aggregates"),
    ],
)
async def test_no_client_can_make_up_a_route(watched: Watched, path: str, route: str) -> None:
    await watched.client.get(path)
    assert await watched.value("whence_http_request_seconds_count", route=route) == 1


async def test_the_route_of_a_creation_is_that_of_its_command(watched: Watched) -> None:
    await watched.client.command("/orders/place", PLACE)
    assert await watched.value("whence_http_request_seconds_count", route="/orders/place") == 1


async def test_a_method_that_nobody_knows_is_one_of_the_others(watched: Watched) -> None:
    for method in ("BREW", "WHEN"):
        await watched.client.request(method, "/livez")
    counted = await watched.value("whence_http_request_seconds_count", method="other")
    assert counted == 2


async def test_buckets_count_up_to_their_bound(watched: Watched) -> None:
    await watched.client.placed("1", "2", "3")
    family = (await watched.families())["whence_row_commands"]
    buckets = {
        one.labels["le"]: one.value for one in family.samples if one.name.endswith("_bucket")
    }
    assert buckets["1.0"] == buckets["+Inf"] == 3


async def test_the_lag_of_a_view_until_a_worker_has_come(
    watched: Watched, store: EventStore
) -> None:
    await watched.client.cancelled("1")
    number = store.keys.partition(StreamId("order", "1"))
    where = {"projection": "order-list", "partition": str(number)}
    assert await watched.value("whence_log_events_total") == 2
    assert await watched.value("whence_projection_lag_events", **where) == 2
    assert await watched.value("whence_projection_workers", projection="order-list") == 0
    assert await watched.value("whence_projection_unowned_partitions", projection="order-list") == 8

    working = asyncio.create_task(Worker(store, domain.read_model).run())
    async with asyncio.timeout(30):
        while await watched.value("whence_projection_lag_events", **where) > 0:
            pass
    assert await watched.value("whence_projection_workers", projection="order-list") == 1
    applied = await watched.value("whence_projection_applied_events_total", projection="order-list")
    assert applied == 2
    working.cancel()
    await asyncio.wait([working])


async def test_a_reaction_with_its_timers(
    watched: Watched, store: EventStore, runtime: Runtime
) -> None:
    await watched.client.placed("1")
    number = store.keys.partition(StreamId("order", "1"))
    where = {"reaction": "approval", "partition": str(number)}
    assert await watched.value("whence_reaction_lag_events", **where) == 1
    assert await watched.value("whence_reaction_unowned_partitions", reaction="approval") == 8

    async with reacting(store, Approval, runtime=runtime):
        await watched.client.placed("2", "3")
        await handled(store, domain.reactions.reaction("approval"))
        assert await watched.value("whence_reaction_timers", reaction="approval") == 2
        assert await watched.value("whence_reaction_workers", reaction="approval") == 1
    assert await watched.value("whence_reaction_lag_events", **where) == 0
    told = await watched.value("whence_reaction_handled_events_total", reaction="approval")
    assert told == 3


async def test_without_its_store_a_process_still_tells_the_rest() -> None:
    address = Address.parse("redis://127.0.0.1:1")  # nothing listens there
    store = EventStore(address, Keys("t", 8), Identity("uuid", 8))
    watched = Watched(store, Runtime(store, domain.write_model))
    async with watched.client, watched.metrics:
        await watched.client.get("/livez")
        assert await watched.value("whence_store_up") == 0
        assert await watched.value("whence_http_request_seconds_count", route="/livez") == 1
        assert "whence_projection_lag_events" not in await watched.families()
    await store.close()


async def test_the_store_is_up(watched: Watched) -> None:
    assert await watched.value("whence_store_up") == 1


async def test_who_listens_is_counted(store: EventStore, runtime: Runtime) -> None:
    watched = Watched(store, runtime)
    async with watched.metrics:
        assert await watched.value("whence_live_subscribers") == 0


async def test_the_event_loop_is_looked_at(watched: Watched) -> None:
    looking = asyncio.create_task(watched.lag.run())
    async with asyncio.timeout(30):
        while not await watched.value("whence_event_loop_lag_seconds_count"):
            await asyncio.sleep(0.01)
    looking.cancel()


async def test_names_follow_the_conventions_of_prometheus(watched: Watched) -> None:
    await watched.client.placed("1")
    for name, family in (await watched.families()).items():
        assert re.fullmatch(r"(whence|process)_[a-z_]+", name), name
        assert family.documentation.endswith("."), name
        assert not name.endswith(("_ms", "_count", "_sum")), name


async def test_a_client_that_prefers_open_metrics_gets_it(watched: Watched) -> None:
    response = await watched.metrics.get(
        "/metrics", headers={"accept": "application/openmetrics-text; version=1.0.0"}
    )
    assert response.headers["content-type"].startswith("application/openmetrics-text")
    assert response.text.endswith("# EOF\n")


async def test_there_is_nothing_else_on_that_port(watched: Watched) -> None:
    assert (await watched.metrics.get("/orders/1")).status_code == 404
    assert (await watched.metrics.post("/metrics")).status_code == 405


async def test_metrics_are_not_among_the_addresses_of_the_domain(watched: Watched) -> None:
    assert (await watched.client.get("/metrics")).status_code == 404


async def test_every_metric_of_the_dashboard_exists(watched: Watched) -> None:
    await watched.client.placed("1")
    await watched.client.command("/orders/1/cancel", CANCEL)
    told = await watched.text()
    names = set(re.findall(r"^# TYPE (\S+)", told, re.MULTILINE))
    names |= set(re.findall(r"^([a-z_]+)[{ ]", told, re.MULTILINE))
    dashboard = msgspec.json.decode((DOCS / "grafana.json").read_bytes(), type=Dashboard)
    expressions = [target.expr for panel in dashboard.panels for target in panel.targets]
    assert len(expressions) >= 15
    for expression in expressions:
        used = set(re.findall(r"\b(?:whence|process)_[a-z_]+", expression))
        assert used, expression
        assert used <= names, f"{used - names} of {expression}"


async def test_every_metric_is_in_the_documentation(watched: Watched) -> None:
    page = (DOCS / "observability.md").read_text(encoding="utf-8")
    for name in await watched.families():
        if name.startswith("whence_"):
            assert f"`{name}" in page, name


class Target(Struct):
    expr: str


class Panel(Struct):
    targets: list[Target]


class Dashboard(Struct):
    panels: list[Panel]
