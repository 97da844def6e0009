"""``whence worker``: the projections, kept up to date."""

import click

from whence.cli.running import beside, interruptible, run, stop_signal
from whence.cli.settings import Server, domain_option, find_domain, server, url_option
from whence.domain import Domain
from whence.projections.worker import Worker
from whence.store.eventstore import open_store


@click.command()
@domain_option
@url_option
def worker(domain_path: str | None, url: str | None) -> None:
    """Keep the projections up to date.

    Several workers may run: each partition of a projection is owned by one of them, and when that
    one ends, another takes over.
    """
    domain = find_domain(domain_path)
    with interruptible(), server(url, create=True) as found:
        run(_work(domain, found))


async def _work(domain: Domain, found: Server) -> None:
    async with (
        stop_signal(found) as stop,
        open_store(found.url) as store,
        beside(Worker(store, domain.read_model).run(), stop),
    ):
        names = ", ".join(domain.read_model.projections) or "no projection"
        click.echo(f"Working on {names}")
        await stop.wait()
