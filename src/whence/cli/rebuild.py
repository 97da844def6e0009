"""``whence projections rebuild``, ``rollback``, ``abandon``, ``drop-previous``."""

import asyncio
import sys

import click
import uvloop

from whence.cli import text
from whence.cli.parked import Given, domain_again, url_again
from whence.cli.progress import counting
from whence.cli.settings import find_domain, server
from whence.cli.sqlviews import opened, sql_option
from whence.projections import rebuild as views
from whence.projections.comparison import Comparison
from whence.projections.generations import generations
from whence.projections.projection import Projector
from whence.projections.rebuild import RebuildReport
from whence.projections.verify import compare

_DIFFERENCES = ("key", "field", "before", "after")


@click.command()
@click.argument("name")
@domain_again
@url_again
@sql_option
@click.option("--forget-skips", is_flag=True, help="Apply events again that were skipped.")
@click.option(
    "--verify", is_flag=True, help="Compare it with the live one first, and switch if they agree."
)
@click.option("--drop-previous", is_flag=True, help="Keep nothing that rollback could go back to.")
@click.pass_obj
def rebuild(
    given: Given,
    name: str,
    domain_path: str | None,
    url: str | None,
    sql_url: str | None,
    forget_skips: bool,
    verify: bool,
    drop_previous: bool,
) -> None:
    """Make the view of the projection NAME anew from the events, beside the one that readers see.

    When it has caught up, readers see it from one moment to the next; "rollback" goes back to the
    one before. Workers help to build it. Stopped in between, it goes on when it is called again;
    "abandon" drops what was built. What was parked is tried again; what was skipped stays skipped.

    "--verify" compares both row by row, and prints what differs. Exit code 1 says that something
    does: then readers see what they saw before, until "rebuild" is called without it.

    For example: whence projections rebuild order-list
    """
    projection = find_domain(domain_path or given.domain_path).read_model.projector(name)
    with server(url or given.url) as found:
        work = _rebuild(found.url, projection, sql_url, forget_skips, verify, drop_previous)
        report = uvloop.run(work)
    click.echo(f"{name} was rebuilt from {report.events:,} events in {report.seconds:.1f} s")
    if not report.live:
        click.echo(
            f"Readers do not see generation {report.generation} yet: "
            f'"whence projections rebuild {name}" lets them, "abandon" drops it'
        )
        sys.exit(1)
    click.echo(f"Readers see generation {report.generation} now")
    _say_parked(report)


async def _rebuild(
    url: str,
    projection: Projector,
    sql_url: str | None,
    forget_skips: bool,
    verify: bool,
    drop_previous: bool,
) -> RebuildReport:
    compared: list[Comparison] = []
    async with opened(url, projection, sql_url) as (store, view):

        async def agree(old: Projector, new: Projector) -> bool:
            found = await generations(store, projection)
            same_code = found.live_revision == projection.revision
            compared.append(await compare(store, old, new, same_code=same_code))
            return not compared[-1].different

        with counting(f"Rebuilding {projection.name}") as on_progress:
            report = await views.rebuild(
                store,
                view,
                progress=on_progress,
                forget_skips=forget_skips,
                check=agree if verify else None,
            )
        if drop_previous and report.live:
            await views.drop_previous(store, view)
    for comparison in compared:
        _say_compared(comparison)
    return report


def _say_compared(comparison: Comparison) -> None:
    if comparison.differences:
        cells = [
            (one.key, one.field or "(row)", text.value(one.before), text.value(one.after))
            for one in comparison.differences
        ]
        rows: list[tuple[str, ...]] = [_DIFFERENCES, *cells]
        if any(one.table for one in comparison.differences):
            tables = ["table", *(one.table for one in comparison.differences)]
            rows = [(table, *row) for table, row in zip(tables, rows, strict=True)]
        text.say_table(rows)
    for found in comparison.left_out:
        text.say(f"Not compared: {found}")
    of = f"of {comparison.rows:,} rows"
    click.echo(f"{comparison.different:,} {of} differ")


@click.command()
@click.argument("name")
@domain_again
@url_again
@sql_option
@click.pass_obj
def rollback(
    given: Given, name: str, domain_path: str | None, url: str | None, sql_url: str | None
) -> None:
    """Let readers see the view of the projection NAME that was live before the last switch.

    It is brought up to date first. The other one is kept instead, so the next "rollback" takes this
    one back.

    For example: whence projections rollback order-list
    """
    projection = find_domain(domain_path or given.domain_path).read_model.projector(name)
    with server(url or given.url) as found:
        report = uvloop.run(_rollback(found.url, projection, sql_url))
    click.echo(
        f"{name} was rolled back to generation {report.generation}, which {report.events:,} events "
        f"have brought up to date in {report.seconds:.1f} s"
    )
    _say_parked(report)


async def _rollback(url: str, projection: Projector, sql_url: str | None) -> RebuildReport:
    with counting(f"Bringing {projection.name} up to date") as on_progress:
        async with opened(url, projection, sql_url) as (store, view):
            return await views.rollback(store, view, progress=on_progress)


@click.command()
@click.argument("name")
@domain_again
@url_again
@sql_option
@click.pass_obj
def abandon(
    given: Given, name: str, domain_path: str | None, url: str | None, sql_url: str | None
) -> None:
    """Drop the generation of the projection NAME that is being built.

    A "rebuild" that runs ends; readers see what they saw before.
    """
    projection = find_domain(domain_path or given.domain_path).read_model.projector(name)
    with server(url or given.url) as found:
        number = asyncio.run(_abandon(found.url, projection, sql_url))
    click.echo(f"Generation {number} of {name} was dropped; it was not finished")


async def _abandon(url: str, projection: Projector, sql_url: str | None) -> int:
    async with opened(url, projection, sql_url) as (store, view):
        return await views.abandon(store, view)


@click.command("drop-previous")
@click.argument("name")
@domain_again
@url_again
@sql_option
@click.pass_obj
def drop_previous(
    given: Given, name: str, domain_path: str | None, url: str | None, sql_url: str | None
) -> None:
    """Drop the generation of the projection NAME that "rollback" would go back to."""
    projection = find_domain(domain_path or given.domain_path).read_model.projector(name)
    with server(url or given.url) as found:
        number = asyncio.run(_drop_previous(found.url, projection, sql_url))
    click.echo(f"Generation {number} of {name} was dropped; there is nothing to roll back to")


async def _drop_previous(url: str, projection: Projector, sql_url: str | None) -> int:
    async with opened(url, projection, sql_url) as (store, view):
        return await views.drop_previous(store, view)


def _say_parked(report: RebuildReport) -> None:
    if report.parked:
        text.say(f'{report.parked:,} aggregates are parked: "whence projections parked" says why')
