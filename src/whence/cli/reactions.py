"""``whence reactions``: how far they are, and which timers wait.

What is done about parked events is in parked.py, as for projections.
"""

import asyncio
from typing import NamedTuple

import click

from whence.cli import text
from whence.cli.parked import Given, domain_again, parked, retry, skip, url_again
from whence.cli.settings import domain_option, find_domain, json_option, server, url_option
from whence.domain import Domain
from whence.projections.status import PartitionStatus, owner_counts, statuses
from whence.reactions.checkpoint import Checkpoints
from whence.reactions.reaction import Reaction
from whence.reactions.status import PendingTimer, pending_timers, timer_counts
from whence.store.durability import RELAXED
from whence.store.eventstore import open_store

_HEAD = ("reaction", "handled", "lag", "timers", "parked", "workers (partitions)")
_TIMERS = ("due", "timer", "command", "to", "because of")


class Standing(NamedTuple):
    """One reaction: its partitions, and how many timers wait."""

    partitions: list[PartitionStatus]
    timers: int


@click.group(invoke_without_command=True)
@click.pass_context
@domain_option
@url_option
def reactions(ctx: click.Context, domain_path: str | None, url: str | None) -> None:
    """Show how far the reactions are: events passed, events to go, timers that wait, parked
    aggregates, and which worker has how many partitions.

    "timers" lists what waits for its moment. "parked" lists the aggregates whose events wait
    because one cannot be handled; "retry" and "skip" are what can be done about them.
    """
    if ctx.invoked_subcommand is not None:
        ctx.obj = Given(domain_path, url, "reactions")
        return
    domain = find_domain(domain_path)
    with server(url) as found:
        standings = asyncio.run(_standings(found.url, domain))
    text.say_table(
        [_HEAD, *(_row(name, one) for name, one in standings.items())], right=(1, 2, 3, 4)
    )
    for name, standing in standings.items():
        for partition in standing.partitions:
            if partition.failure:
                text.say(
                    f"{name} stands still in partition {partition.partition}: {partition.failure}"
                )


async def _standings(url: str, domain: Domain) -> dict[str, Standing]:
    async with open_store(url, durability=RELAXED) as store:
        found = await statuses(store, domain.reactions.reactions.values())
        return {
            name: Standing(found[name], sum(await timer_counts(store, reaction)))
            for name, reaction in domain.reactions.reactions.items()
        }


def _row(name: str, standing: Standing) -> tuple[str, ...]:
    partitions = standing.partitions
    owners = [f"{owner} ({count})" for owner, count in owner_counts(partitions).items()]
    return (
        name,
        f"{sum(one.position for one in partitions):,}",
        f"{sum(one.lag for one in partitions):,}",
        f"{standing.timers:,}",
        f"{sum(one.parked for one in partitions):,}",
        ", ".join(owners) or "none",
    )


@click.command()
@click.argument("name", required=False)
@json_option
@domain_again
@url_again
@click.pass_obj
def timers(
    given: Given, name: str | None, as_json: bool, domain_path: str | None, url: str | None
) -> None:
    """List the commands that wait for their moment, the next one first.

    Of the reaction NAME, or of all.
    """
    model = find_domain(domain_path or given.domain_path).reactions
    chosen = [*model.reactions.values()] if name is None else [model.reaction(name)]
    with server(url or given.url) as found:
        pending = asyncio.run(_pending(found.url, chosen))
    if as_json:
        text.say_json([_document(one) for one in pending])
    elif pending:
        text.say_table([_TIMERS, *(_cells(one) for one in pending)])
    else:
        click.echo("no timer waits")


async def _pending(url: str, chosen: list[Reaction]) -> list[PendingTimer]:
    async with open_store(url, durability=RELAXED) as store:
        found = [one for reaction in chosen for one in await pending_timers(store, reaction)]
    return sorted(found, key=lambda one: one.due)


def _document(pending: PendingTimer) -> dict[str, object]:
    timer = pending.timer
    return {
        "due": pending.due,
        "timer": str(pending.id),
        "command": timer.command,
        "aggregate": str(timer.target),
        "arguments": timer.arguments,
        "cause": timer.cause,
    }


def _cells(pending: PendingTimer) -> tuple[str, ...]:
    timer = pending.timer
    due = text.moment(pending.due)
    return (due, str(pending.id), timer.command, str(timer.target), timer.cause)


@click.command()
@click.argument("name")
@domain_again
@url_again
@click.pass_obj
def restart(given: Given, name: str, domain_path: str | None, url: str | None) -> None:
    """Let the reaction NAME go on at the end of the log as it is now.

    For a log that was rolled back under it. Events that it has not handled by now stay so, parked
    ones too; its timers wait as before.
    """
    reaction = find_domain(domain_path or given.domain_path).reactions.reaction(name)
    with server(url or given.url) as found:
        asyncio.run(_restart(found.url, reaction))
    click.echo(f"{name} goes on at the end of the log")


async def _restart(url: str, reaction: Reaction) -> None:
    async with open_store(url, durability=RELAXED) as store:
        wire = store.address.wire()
        try:
            await Checkpoints(store, reaction.name, wire).restart()
        finally:
            await wire.close()


for _command in (timers, parked, retry, skip, restart):
    reactions.add_command(_command)
