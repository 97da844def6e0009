"""A span (OpenTelemetry) around each handler; to be imported only with the extra ``otel``."""

from typing import Any

from opentelemetry.context import Context
from opentelemetry.trace import (
    Link,
    SpanKind,
    TracerProvider,
    get_current_span,
    get_tracer,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from whence.projections.projection import Handler
from whence.projections.readmodel import ReadModel
from whence.store.events import Event
from whence.store.recorded import Recorded

_w3c = TraceContextTextMapPropagator()


def trace_handlers(model: ReadModel, provider: TracerProvider | None = None) -> None:
    """Give each handler call a span of its own that links to the one of the event's command.

    An event without a trace has no span. What a handler asks for is committed later, with others:
    the span is of the handler alone.

    Args:
        provider: where the spans go; the global one unless given.
    """
    tracer = get_tracer("whence", tracer_provider=provider)
    for name, projection in model.projections.items():

        def traced(handler: Handler, name: str = name) -> Handler:
            def call(event: Event, record: Recorded, views: Any) -> None:
                trace = record.metadata.trace
                if not trace:
                    handler(event, record, views)
                    return
                command = get_current_span(_w3c.extract({"traceparent": trace}, Context()))
                with tracer.start_as_current_span(
                    f"{name} {type(event).__name__}",
                    context=Context(),  # a root: the view may come to it a year later
                    kind=SpanKind.CONSUMER,
                    links=[Link(command.get_span_context())],
                    attributes={
                        "whence.projection": name,
                        "whence.stream": str(record.stream),
                        "whence.version": record.version,
                        "whence.partition": record.partition,
                        "whence.position": record.position,
                    },
                ):
                    handler(event, record, views)

            return call

        projection.wrap_handlers(traced)
