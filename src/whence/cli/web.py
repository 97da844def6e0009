"""``whence web``: the domain over HTTP."""

import asyncio
import socket
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, NamedTuple

import click

from whence.actors.middleware import Middleware
from whence.actors.runtime import Runtime
from whence.cli.access import AccessSettings, access_options, announce
from whence.cli.http import listening, serving, url_of
from whence.cli.observing import Observing, exposing, observing_options
from whence.cli.running import interruptible, run, stop_signal
from whence.cli.settings import (
    Server,
    find_domain,
    open_promised,
    server,
    writing_options,
)
from whence.cli.tracing import command_spans, tracing
from whence.domain import Domain
from whence.store.durability import Durability, Promise
from whence.store.eventstore import EventStore
from whence.web.app import create_app
from whence.web.live import Live
from whence.web.metering import HttpMeter

if TYPE_CHECKING:
    from whence.web.metrics.families import Source


class Ports(NamedTuple):
    """Where a process listens; ``metrics`` is None when it has none."""

    web: socket.socket
    metrics: socket.socket | None


@click.command()
@writing_options
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8000,
    show_default=True,
    envvar="PORT",
    show_envvar=True,
    help="Where to listen; 0 takes any free port.",
)
@access_options
@observing_options
def web(
    domain_path: str | None,
    url: str | None,
    durability: Durability,
    assert_durability: bool,
    host: str,
    port: int,
    access_settings: AccessSettings,
    observing: Observing,
) -> None:
    """Serve the domain over HTTP: commands, states, history and views.

    Start as many as you like, on one server. Views are kept up to date by "whence worker".
    """
    domain = find_domain(domain_path)
    promise = Promise(durability, assert_durability)
    with (
        interruptible(),
        listening(host, port) as listener,
        observing.listening() as metrics,
        tracing(observing.traces) as spans,
        server(url, create=True, durability=durability) as found,
    ):
        ports = Ports(listener, metrics)
        middleware = command_spans(spans)
        work = _serve(domain, found, promise, ports, access_settings, middleware)
        run(work, observing.log_format)


async def _serve(
    domain: Domain,
    found: Server,
    promise: Promise,
    ports: Ports,
    settings: AccessSettings,
    middleware: Sequence[Middleware],
) -> None:
    async with (
        stop_signal(found) as stop,
        open_promised(found.url, promise) as store,
        Runtime(store, domain.write_model, middleware=middleware) as runtime,
        front(domain, store, runtime, ports, settings, stop),
    ):
        click.echo(f"Serving at {url_of(ports.web)}")
        announce(settings)
        await stop.wait()


@asynccontextmanager
async def front(
    domain: Domain,
    store: EventStore,
    runtime: Runtime,
    ports: Ports,
    settings: AccessSettings,
    stop: asyncio.Event,
) -> AsyncGenerator[None]:
    """Serve the domain beside the block, and its metrics if they have a port.

    Raises:
        InvalidSetting: others than this machine could ask, and nobody would have to say who it is.
    """
    access = settings.access(ports.web)
    meter = HttpMeter()
    measured = None if ports.metrics is None else meter
    app = create_app(
        domain, store, runtime, access=access, cors_origins=settings.origins, meter=measured
    )
    live: Live = app.state.live

    def sources() -> "Iterable[Source]":
        from whence.web.metrics.sources import web_sources  # noqa: PLC0415  # only if asked for

        return web_sources(domain, store, runtime, live, meter)

    async with exposing(ports.metrics, stop, sources), serving(app, ports.web, stop, live.end):
        yield
