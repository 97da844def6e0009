"""``whence worker``: the projections, kept up to date."""

import click

from whence.cli.running import beside, interruptible, run, stop_signal
from whence.cli.settings import (
    Server,
    find_domain,
    open_promised,
    server,
    writing_options,
)
from whence.domain import Domain
from whence.projections.worker import Worker
from whence.store.durability import Durability, Promise


@click.command()
@writing_options
def worker(
    domain_path: str | None, url: str | None, durability: Durability, assert_durability: bool
) -> None:
    """Keep the projections up to date.

    Several workers may run: each partition of a projection is owned by one of them, and when that
    one ends, another takes over.
    """
    domain = find_domain(domain_path)
    promise = Promise(durability, assert_durability)
    with interruptible(), server(url, create=True, durability=durability) as found:
        run(_work(domain, found, promise))


async def _work(domain: Domain, found: Server, promise: Promise) -> None:
    async with (
        stop_signal(found) as stop,
        open_promised(found.url, promise) as store,
        beside(Worker(store, domain.read_model).run(), stop),
    ):
        names = ", ".join(domain.read_model.projections) or "no projection"
        click.echo(f"Working on {names}")
        await stop.wait()
