"""Spans of commands and of the handlers that see their events, joined through the log."""

import subprocess
import sys
from collections.abc import AsyncIterator

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode, format_span_id, format_trace_id

from examples.orders.domain import Item, Order, OrderList
from tests.web.client import CANCEL, PLACE, Client
from whence import Domain, Runtime
from whence.actors.context import request_context
from whence.actors.spans import CommandSpans
from whence.projections.spans import trace_handlers
from whence.store.errors import CorruptStore
from whence.store.eventstore import EventStore
from whence.store.ids import StreamId
from whence.store.metadata import Metadata
from whence.testing.views import catch_up
from whence.web.app import create_app

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"
ITEMS = (Item("tea", 1, 450),)
PARENT = f"00-{TRACE}-{SPAN}-01"


class Watched:
    """A domain of its own whose spans stay in memory."""

    def __init__(self, store: EventStore) -> None:
        self.domain = Domain(aggregates=[Order], projections=[OrderList])
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        spans = CommandSpans(self.provider)
        self.runtime = Runtime(store, self.domain.write_model, middleware=[spans])
        self.client = Client.of(create_app(self.domain, store, self.runtime))

    def spans(self) -> list[ReadableSpan]:
        """Those that have ended, first one first."""
        return list(self.exporter.get_finished_spans())

    async def post(self, path: str, body: object, **headers: str) -> int:
        response = await self.client.post(path, json=body, headers=headers)
        return response.status_code


@pytest.fixture
async def watched(store: EventStore) -> AsyncIterator[Watched]:
    watched = Watched(store)
    async with watched.runtime, watched.client:
        yield watched
    watched.provider.shutdown()


async def trace_of(store: EventStore, id_: str, version: int) -> str:
    found = [record async for record in store.read(StreamId("order", id_), first=version, limit=1)]
    return found[0].metadata.trace


def traceparent(span: ReadableSpan) -> str:
    """As it is stored, without the flags."""
    context = span.get_span_context()
    assert context is not None
    return f"00-{format_trace_id(context.trace_id)}-{format_span_id(context.span_id)}"


async def test_a_command_is_a_child_of_the_callers_span(watched: Watched) -> None:
    assert await watched.post("/orders/1/place", PLACE, traceparent=PARENT) == 201
    (span,) = watched.spans()
    assert span.name == "order.place"
    assert span.parent is not None
    assert format_trace_id(span.parent.trace_id) == TRACE
    assert format_span_id(span.parent.span_id) == SPAN
    assert dict(span.attributes or {}) == {
        "whence.aggregate": "order",
        "whence.id": "1",
        "whence.command": "place",
        "whence.version": 1,
        "whence.events": 1,
    }


async def test_the_events_carry_the_span_of_their_command(
    watched: Watched, store: EventStore
) -> None:
    await watched.post("/orders/1/place", PLACE)
    (span,) = watched.spans()
    assert span.parent is None
    stored, _, flags = (await trace_of(store, "1", 1)).rpartition("-")
    assert stored == traceparent(span)
    assert int(flags, 16) & 1  # sampled
    (event,) = (await watched.client.document("/orders/1/events"))["events"]
    context = span.get_span_context()
    assert context is not None
    assert event["metadata"]["correlation_id"] == format_trace_id(context.trace_id)


async def test_a_correlation_id_stays_as_it_was_given(watched: Watched) -> None:
    await watched.post("/orders/1/place", PLACE, **{"X-Correlation-ID": "story-1"})
    (event,) = (await watched.client.document("/orders/1/events"))["events"]
    assert event["metadata"]["correlation_id"] == "story-1"


async def test_a_command_sent_in_the_process_is_a_child_of_the_current_span(
    watched: Watched,
) -> None:
    tracer = watched.provider.get_tracer("test")
    with tracer.start_as_current_span("outer"), request_context(Metadata(who="ada")):
        await watched.runtime.send(Order.place, "1", user_id="ada", items=ITEMS)
    command, outer = watched.spans()
    assert command.parent == outer.get_span_context()


async def test_a_refusal_is_no_error(watched: Watched) -> None:
    assert await watched.post("/orders/1/cancel", CANCEL) == 409
    (span,) = watched.spans()
    assert (span.attributes or {})["whence.outcome"] == "rejected"
    assert span.status.status_code is StatusCode.UNSET


async def test_a_fault_is_an_error(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: object) -> None:
        raise CorruptStore("a page is missing")

    monkeypatch.setattr(watched.runtime, "_ask", fail)
    assert await watched.post("/orders/1/place", PLACE) == 500
    (span,) = watched.spans()
    assert span.status.status_code is StatusCode.ERROR
    assert span.status.description == "a page is missing"


async def test_a_handler_links_back_to_the_span_of_the_command(
    watched: Watched, store: EventStore
) -> None:
    trace_handlers(watched.domain.read_model, watched.provider)
    await watched.post("/orders/1/place", PLACE, traceparent=PARENT)
    await watched.post("/orders/1/cancel", CANCEL)
    commands = watched.spans()
    watched.exporter.clear()
    await catch_up(store, watched.domain.read_model)

    placed, cancelled = watched.spans()
    assert [placed.name, cancelled.name] == ["order-list OrderPlaced", "order-list OrderCancelled"]
    for handled, command in zip((placed, cancelled), commands, strict=True):
        (link,) = handled.links
        context = command.get_span_context()
        assert context is not None
        assert link.context.span_id == context.span_id
        assert link.context.trace_id == context.trace_id
        assert handled.parent is None
        assert handled.kind is SpanKind.CONSUMER
    attributes = dict(cancelled.attributes or {})
    assert attributes["whence.stream"] == "order/1"
    assert attributes["whence.version"] == 2


async def test_an_event_without_a_trace_has_no_span(store: EventStore) -> None:
    watched = Watched(store)
    trace_handlers(watched.domain.read_model, watched.provider)
    async with Runtime(store, watched.domain.write_model) as plain:
        await plain.send(Order.place, "1", user_id="ada", items=ITEMS)
    await catch_up(store, watched.domain.read_model)
    assert watched.spans() == []


def test_without_the_extra_all_else_works() -> None:
    # redis-py imports OpenTelemetry by itself where it is installed.
    script = (
        "import sys; sys.modules['opentelemetry'] = None\n"
        "import whence, whence.web.app, whence.cli.web, whence.cli.worker, whence.cli.dev\n"
        "print([name for name in sys.modules if name.startswith('prometheus_client')])"
    )
    found = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert found.stdout == "[]\n"
