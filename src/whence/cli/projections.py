"""``whence projections``: how far they are, and how to rebuild one.

What is parked has a file of its own, parked.py.
"""

import asyncio
from collections.abc import Sequence

import click
import uvloop

from whence.cli import text
from whence.cli.parked import Given, domain_again, parked, retry, skip, url_again
from whence.cli.progress import counted
from whence.cli.settings import domain_option, find_domain, server, url_option
from whence.domain import Domain
from whence.projections.projection import Projector
from whence.projections.rebuild import RebuildReport
from whence.projections.rebuild import rebuild as rebuild_view
from whence.projections.status import PartitionStatus, owner_counts, statuses
from whence.store.durability import RELAXED
from whence.store.eventstore import open_store

_HEAD = ("projection", "applied", "lag", "parked", "workers (partitions)")

Standings = dict[str, list[PartitionStatus]]


@click.group(invoke_without_command=True)
@click.pass_context
@domain_option
@url_option
def projections(ctx: click.Context, domain_path: str | None, url: str | None) -> None:
    """Show how far the projections are: events passed, events to go, parked aggregates, and
    which worker has how many partitions.

    "whence projections rebuild NAME" makes a view anew from the events. "parked" lists the
    aggregates whose events wait because one cannot be applied; "retry" and "skip" are what can be
    done about them.
    """
    if ctx.invoked_subcommand is not None:
        ctx.obj = Given(domain_path, url)
        return
    domain = find_domain(domain_path)
    with server(url) as found:
        standings = asyncio.run(_standings(found.url, domain))
    _print(standings)


async def _standings(url: str, domain: Domain) -> Standings:
    async with open_store(url, durability=RELAXED) as store:
        return await statuses(store, domain.read_model.projections)


def _print(standings: Standings) -> None:
    rows = [_HEAD, *(_row(name, partitions) for name, partitions in standings.items())]
    text.say_table(rows, right=(1, 2, 3))
    for name, partitions in standings.items():
        for partition in partitions:
            if partition.failure:
                text.say(
                    f"{name} stands still in partition {partition.partition}: {partition.failure}"
                )
    if any(partition.parked for found in standings.values() for partition in found):
        text.say('"whence projections parked" says what is parked, and why')


def _row(name: str, partitions: Sequence[PartitionStatus]) -> tuple[str, ...]:
    applied = sum(partition.position for partition in partitions)
    lag = sum(partition.lag for partition in partitions)
    parked = sum(partition.parked for partition in partitions)
    return (name, f"{applied:,}", f"{lag:,}", f"{parked:,}", _owners(partitions))


def _owners(partitions: Sequence[PartitionStatus]) -> str:
    owners = owner_counts(partitions)
    free = len(partitions) - sum(owners.values())
    if not owners:
        return "none"
    shares = ", ".join(f"{owner} ({count})" for owner, count in owners.items())
    return shares + (f"; {free} partitions have none" if free else "")


@projections.command()
@click.argument("name")
@domain_again
@url_again
@click.option("--forget-skips", is_flag=True, help="Apply events again that were skipped.")
@click.pass_obj
def rebuild(
    given: Given, name: str, domain_path: str | None, url: str | None, forget_skips: bool
) -> None:
    """Empty the view of the projection NAME, and make it anew from the events.

    A worker that keeps this view stands by meanwhile, and goes on from there. What was parked is
    tried again; what was skipped stays skipped.

    For example: whence projections rebuild order-list
    """
    domain = find_domain(domain_path or given.domain_path)
    projection = domain.read_model.projector(name)
    with server(url or given.url) as found:
        report = uvloop.run(_rebuild(found.url, projection, forget_skips))
    click.echo(f"{name} was rebuilt from {report.events:,} events in {report.seconds:.1f} s")
    if report.parked:
        click.echo(f'{report.parked:,} aggregates are parked: "whence projections parked" says why')


async def _rebuild(url: str, projection: Projector, forget_skips: bool) -> RebuildReport:
    with counted() as progress:
        bar = progress.add_task(f"Rebuilding {projection.name}", total=None)

        def on_progress(done: int, total: int) -> None:
            progress.update(bar, completed=done, total=total)

        async with open_store(url, durability=RELAXED) as store:
            return await rebuild_view(
                store, projection, progress=on_progress, forget_skips=forget_skips
            )


for _command in (parked, retry, skip):
    projections.add_command(_command)
