"""A span (OpenTelemetry) around each command; import this only where the extra ``otel`` is there.

The events of a command carry the context of its span in ``metadata.trace``, so that whoever reads
them later, a projection or another command, can name the span that they come from.
"""

from collections.abc import Generator
from contextlib import contextmanager

from msgspec.structs import replace
from opentelemetry.trace import Span, SpanKind, StatusCode, TracerProvider, get_tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from whence.actors.middleware import Next
from whence.actors.receipt import Receipt
from whence.actors.request import CommandRequest
from whence.store.errors import Conflict, Rejected, WhenceError
from whence.store.ids import kebab
from whence.store.metadata import Metadata, trace_id

_w3c = TraceContextTextMapPropagator()
# What a domain decides, and no fault.
_NO_FAULT = (Rejected, Conflict)


class CommandSpans:
    """Middleware: ``Runtime(store, model, middleware=[CommandSpans()])``, best the outermost.

    A span is the child of the one that the metadata name (``traceparent`` over HTTP), or else of
    the one that is current where the command is sent.

    Args:
        provider: where the spans go; the global one unless given.
    """

    def __init__(self, provider: TracerProvider | None = None) -> None:
        self._tracer = get_tracer("whence", tracer_provider=provider)

    async def __call__(self, request: CommandRequest, call_next: Next) -> Receipt:
        above = request.metadata.trace
        with self._tracer.start_as_current_span(
            f"{request.kind.name}.{request.command.name}",
            context=_w3c.extract({"traceparent": above}) if above else None,
            kind=SpanKind.INTERNAL,
            attributes={
                "whence.aggregate": request.kind.name,
                "whence.id": request.id,
                "whence.command": request.command.name,
            },
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            with _told(span):
                receipt = await call_next(request._replace(metadata=_inside(request.metadata)))
            span.set_attribute("whence.version", receipt.version)
            span.set_attribute("whence.events", len(receipt.events))
            return receipt


def _inside(metadata: Metadata) -> Metadata:
    """The metadata with the context of the current span in it."""
    carrier: dict[str, str] = {}
    _w3c.inject(carrier)
    trace = carrier.get("traceparent", metadata.trace)
    correlation = metadata.correlation_id or trace_id(trace)
    return replace(metadata, trace=trace, correlation_id=correlation)


@contextmanager
def _told(span: Span) -> Generator[None]:
    """Say in the span what became of the command."""
    try:
        yield
    except WhenceError as error:
        span.set_attribute("whence.outcome", kebab(type(error).__name__))
        if not isinstance(error, _NO_FAULT):
            span.set_status(StatusCode.ERROR, str(error))
        raise
    except Exception as error:
        span.record_exception(error)
        span.set_status(StatusCode.ERROR, str(error))
        raise
