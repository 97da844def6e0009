"""Spans of a serving command, sent where ``--traces`` says. OpenTelemetry is an extra."""

from collections.abc import Generator
from contextlib import contextmanager
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from whence.actors.middleware import Middleware
from whence.projections.readmodel import ReadModel
from whence.store.errors import InvalidSetting

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter

_GROUP = "opentelemetry_traces_exporter"


@contextmanager
def tracing(exporter: str | None) -> Generator["TracerProvider | None"]:
    """Where the spans go: to the exporter of this name, such as console or otlp; None for nowhere.

    What was not sent yet is sent at the end. OTEL_SERVICE_NAME, OTEL_TRACES_SAMPLER and the other
    variables of OpenTelemetry count.

    Raises:
        InvalidSetting: OpenTelemetry is not installed, or has no such exporter.
    """
    if exporter is None:
        yield None
        return
    try:
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415  # an extra
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise InvalidSetting(
            f"--traces needs the package {error.name}: pip install 'whence[otel]'"
        ) from error
    found = _exporter(exporter)
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(found))
    try:
        yield provider
    finally:
        provider.shutdown()


def command_spans(provider: "TracerProvider | None") -> list[Middleware]:
    """What gives each command a span; empty without a provider."""
    if provider is None:
        return []
    from whence.actors.spans import CommandSpans  # noqa: PLC0415  # an extra

    return [CommandSpans(provider)]


def handler_spans(model: ReadModel, provider: "TracerProvider | None") -> None:
    """Give each call of a handler a span; without a provider nothing happens."""
    if provider is not None:
        from whence.projections.spans import trace_handlers  # noqa: PLC0415  # an extra

        trace_handlers(model, provider)


def _exporter(name: str) -> "SpanExporter":
    known = {entry.name: entry for entry in entry_points(group=_GROUP)}
    if name not in known:
        raise InvalidSetting(
            f"OpenTelemetry has no exporter named {name!r} here, only {', '.join(sorted(known))}: "
            "install its package, as opentelemetry-exporter-otlp-proto-http for otlp_proto_http"
        )
    try:
        exporter: SpanExporter = known[name].load()()
    except Exception as error:  # of a package that is not ours
        raise InvalidSetting(f"the exporter {name} cannot be made: {error}") from error
    return exporter
