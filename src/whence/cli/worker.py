"""``whence worker``: the projections, kept up to date, and the reactions to events."""

import socket
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import click

from whence.actors.middleware import Middleware
from whence.actors.runtime import Runtime
from whence.cli.observing import Observing, exposing, observing_options
from whence.cli.running import beside, interruptible, run, stop_signal
from whence.cli.settings import (
    Server,
    find_domain,
    open_promised,
    server,
    writing_options,
)
from whence.cli.sqlviews import at_database, sql_option
from whence.cli.tracing import command_spans, handler_spans, tracing
from whence.domain import Domain
from whence.projections.settings import WorkerSettings
from whence.projections.worker import Worker
from whence.reactions.worker import ReactionWorker
from whence.store.durability import Durability, Promise
from whence.store.eventstore import EventStore

if TYPE_CHECKING:
    from whence.web.metrics.families import Source


@click.command()
@writing_options
@sql_option
@observing_options
@click.option(
    "--rebuild-on-change",
    is_flag=True,
    envvar="WHENCE_REBUILD_ON_CHANGE",
    show_envvar=True,
    help="Make a view anew when another version of its projection has made the live one.",
)
def worker(
    domain_path: str | None,
    url: str | None,
    durability: Durability,
    assert_durability: bool,
    sql_url: str | None,
    observing: Observing,
    rebuild_on_change: bool,
) -> None:
    """Keep the projections up to date, and send what reactions and timers ask for.

    Several workers may run, and come and go at any time: they share the partitions of each
    projection and reaction evenly. "whence projections" shows who has how many of a projection.
    """
    domain = find_domain(domain_path)
    promise = Promise(durability, assert_durability)
    settings = WorkerSettings(rebuild_on_change=rebuild_on_change)
    with (
        interruptible(),
        observing.listening() as metrics,
        tracing(observing.traces) as spans,
        server(url, create=True, durability=durability) as found,
    ):
        handler_spans(domain.read_model, spans)
        run(
            _work(domain, found, promise, sql_url, metrics, command_spans(spans), settings),
            observing.log_format,
        )


async def _work(
    domain: Domain,
    found: Server,
    promise: Promise,
    sql_url: str | None,
    metrics: socket.socket | None,
    middleware: Sequence[Middleware],
    settings: WorkerSettings,
) -> None:
    async with (
        stop_signal(found) as stop,
        open_promised(found.url, promise) as store,
        Runtime(store, domain.write_model, middleware=middleware) as runtime,
        exposing(metrics, stop, lambda: _sources(domain, store)),
        at_database(domain.read_model, sql_url) as model,
        beside(Worker(store, model, settings=settings).run(), stop),
        beside(ReactionWorker(store, runtime, domain.reactions).run(), stop),
    ):
        names = ", ".join([*domain.read_model.projections, *domain.reactions.reactions])
        click.echo(f"Working on {names or 'no projection'}")
        await stop.wait()


def _sources(domain: Domain, store: EventStore) -> "Iterable[Source]":
    from whence.web.metrics.sources import worker_sources  # noqa: PLC0415  # only if asked for

    return worker_sources(domain, store)
