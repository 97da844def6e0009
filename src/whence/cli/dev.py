"""``whence dev``: server, web and worker in one process."""

from collections.abc import Sequence
from pathlib import Path

import click

from whence.actors.middleware import Middleware
from whence.actors.runtime import Runtime
from whence.cli.access import AccessSettings, access_options, announce
from whence.cli.http import listening, url_of
from whence.cli.observing import Observing, observing_options
from whence.cli.running import beside, interruptible, run, stop_signal
from whence.cli.settings import DATA, Server, durability_option, start_embedded
from whence.cli.sqlviews import at_database, sql_option, views_in
from whence.cli.tracing import command_spans, handler_spans, tracing
from whence.cli.web import Ports, front
from whence.domain import Domain, load_domain
from whence.projections.settings import WorkerSettings
from whence.projections.worker import Worker
from whence.reactions.worker import ReactionWorker
from whence.store.durability import Durability
from whence.store.eventstore import EventStore, open_store
from whence.web.example import curl, first_command

# There is one worker here, and no release that is rolled out: a changed projection may begin anew.
_WORKING = WorkerSettings(rebuild_on_change=True)


@click.command()
@click.argument("domain_path", metavar="MODULE:DOMAIN")
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8000,
    show_default=True,
    help="Where to listen; 0 takes any free port.",
)
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    default=DATA,
    show_default=True,
    help="The folder that keeps the events; made if it does not exist.",
)
@durability_option
@sql_option
@access_options
@observing_options
def dev(
    domain_path: str,
    host: str,
    port: int,
    data: Path,
    durability: Durability,
    sql_url: str | None,
    access_settings: AccessSettings,
    observing: Observing,
) -> None:
    """Start everything on this machine: a server of its own, web and worker, in one process.

    Ctrl-C ends all of it; the events stay in the data folder. WHENCE_URL is not used here.

    For example: whence dev examples.orders:domain
    """
    domain = load_domain(domain_path)
    with (
        interruptible(),
        listening(host, port) as listener,
        observing.listening() as metrics,
        tracing(observing.traces) as spans,
        start_embedded(data, durability) as embedded,
    ):
        server = Server(embedded.url, embedded)
        ports = Ports(listener, metrics)
        handler_spans(domain.read_model, spans)
        middleware = command_spans(spans)
        sql = sql_url or views_in(embedded.data)
        work = _serve(domain, server, durability, sql, ports, access_settings, middleware)
        run(work, observing.log_format)


async def _serve(
    domain: Domain,
    server: Server,
    durability: Durability,
    sql_url: str,
    ports: Ports,
    settings: AccessSettings,
    middleware: Sequence[Middleware],
) -> None:
    async with (
        stop_signal(server) as stop,
        open_store(server.url, durability=durability) as store,
        at_database(domain.read_model, sql_url) as model,
        beside(Worker(store, model, settings=_WORKING).run(), stop),
        Runtime(store, domain.write_model, middleware=middleware) as runtime,
        beside(ReactionWorker(store, runtime, domain.reactions).run(), stop),
        front(domain, store, runtime, ports, settings, stop),
    ):
        events = await _count(store)
        _welcome(server, url_of(ports.web), events)
        announce(settings)
        if not events:
            _suggest(domain, url_of(ports.web))
        await stop.wait()


async def _count(store: EventStore) -> int:
    """How many events there are: positions in a feed begin at 1 and have no gaps."""
    return sum(await store.feed_heads(range(store.keys.partitions)))


def _welcome(server: Server, base: str, events: int) -> None:
    assert server.embedded is not None, "dev always starts its own server"
    data = server.embedded.data
    click.echo(f"Whence is running at {base} (Ctrl-C stops it)")
    click.echo(f"The Explorer shows what happened: {base}/explorer")
    click.echo(f"Events are kept in {data} ({events:,} so far)")
    if data != DATA.resolve():
        click.echo(f"For the other commands: export WHENCE_URL={server.url}")


def _suggest(domain: Domain, base: str) -> None:
    """A first step, for a store without events."""
    first = first_command(domain)
    line = curl(base, *first) if first else None
    if first is None or line is None:
        click.echo(f"\nWhat it understands: curl {base}/openapi.json")
        return
    click.echo("\nNothing has happened yet. In another terminal, try:")
    click.echo(f"  {line}")
    click.echo(f"  curl {base}/{first[0].plural}/42/why")
