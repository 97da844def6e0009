"""``whence projections``: how far they are.

What is done about parked events is in parked.py, what is done about generations in rebuild.py.
"""

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

import click

from whence.cli import text
from whence.cli.parked import Given, parked, retry, skip
from whence.cli.rebuild import abandon, drop_previous, rebuild, rollback
from whence.cli.settings import domain_option, find_domain, server, url_option
from whence.domain import Domain
from whence.projections.generations import generations, outdated
from whence.projections.projection import Projector
from whence.projections.status import PartitionStatus, owner_counts, statuses
from whence.store.durability import RELAXED
from whence.store.eventstore import EventStore, open_store

_HEAD = ("projection", "applied", "lag", "parked", "workers (partitions)")


class Standing(NamedTuple):
    """One generation of a view, with what people should be told of it."""

    name: str
    partitions: list[PartitionStatus]
    remark: str


@click.group(invoke_without_command=True)
@click.pass_context
@domain_option
@url_option
def projections(ctx: click.Context, domain_path: str | None, url: str | None) -> None:
    """Show how far the projections are: events passed, events to go, parked aggregates, and
    which worker has how many partitions.

    "whence projections rebuild NAME" makes a view anew from the events, and "rollback" takes that
    back. "parked" lists the aggregates whose events wait because one cannot be applied; "retry" and
    "skip" are what can be done about them.
    """
    if ctx.invoked_subcommand is not None:
        ctx.obj = Given(domain_path, url)
        return
    domain = find_domain(domain_path)
    with server(url) as found:
        standings = asyncio.run(_standings(found.url, domain))
    _print(standings)


async def _standings(url: str, domain: Domain) -> list[Standing]:
    async with open_store(url, durability=RELAXED) as store:
        return await _of(store, list(domain.read_model.projections.values()))


async def _of(store: EventStore, projections: Sequence[Projector]) -> list[Standing]:
    """Of each, the generation that readers see, and the one that is being built, if any."""
    remarks: dict[Projector, str] = {}
    for projection in projections:
        found = await generations(store, projection)
        remarks[projection] = outdated(projection, found)
        if found.building is not None:
            new = projection.generation(found.building)
            remarks[new] = f"{new.name} is being built; readers see {projection.name} as before"
    standings = await statuses(store, remarks)
    return [Standing(one.name, standings[one.name], remark) for one, remark in remarks.items()]


def _print(standings: Sequence[Standing]) -> None:
    rows = [_HEAD, *(_row(one.name, one.partitions) for one in standings)]
    text.say_table(rows, right=(1, 2, 3))
    for one in standings:
        if one.remark:
            text.say(one.remark)
        for partition in one.partitions:
            if partition.failure:
                text.say(
                    f"{one.name} stands still in partition {partition.partition}: "
                    f"{partition.failure}"
                )
    if any(partition.parked for one in standings for partition in one.partitions):
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


for _command in (parked, retry, skip, rebuild, rollback, abandon, drop_previous):
    projections.add_command(_command)
