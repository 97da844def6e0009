"""``whence show``: an aggregate now, at a version, or at a moment."""

import asyncio
from datetime import datetime

import click

from whence.actors.history import state_at
from whence.actors.model import AnyAggregate
from whence.actors.receipt import Versioned
from whence.cli import text
from whence.cli.moment import Moment
from whence.cli.settings import domain_option, find_domain, json_option, server, url_option
from whence.domain import Domain
from whence.store.durability import RELAXED
from whence.store.eventstore import open_store
from whence.store.recorded import moment
from whence.web.replies import StateReply


@click.command()
@click.argument("type_name", metavar="TYPE")
@click.argument("id_", metavar="ID")
@click.option("--version", type=click.IntRange(min=1), metavar="N", help="As it was at version N.")
@click.option(
    "--at", type=Moment(), metavar="MOMENT", help="As it was then, as 2026-01-31T12:00:00Z."
)
@json_option
@domain_option
@url_option
def show(
    type_name: str,
    id_: str,
    version: int | None,
    at: datetime | None,
    as_json: bool,
    domain_path: str | None,
    url: str | None,
) -> None:
    """Show an aggregate, now or at any point of its past.

    For example: whence show order 42 --version 1
    """
    if version is not None and at is not None:
        raise click.UsageError("give either --version or --at, not both")
    domain = find_domain(domain_path)
    kind = domain.write_model.aggregate(type_name)
    with server(url) as found:
        past = asyncio.run(_read(found.url, domain, kind.name, id_, version, at))
    if as_json:
        since = moment(past.occurred_at_us)
        text.say_json(StateReply(past.stream.id, kind.name, past.version, since, past.state))
    else:
        _print(past)


async def _read(
    url: str, domain: Domain, type_name: str, id_: str, version: int | None, at: datetime | None
) -> Versioned[AnyAggregate]:
    model = domain.write_model
    kind = model.aggregate(type_name)
    async with open_store(url, durability=RELAXED) as store:
        return await state_at(store, model.events, kind, id_, version=version, at=at)


def _print(past: Versioned[AnyAggregate]) -> None:
    since = text.moment(moment(past.occurred_at_us))
    text.say(f"{past.stream}, version {past.version}, since {since}")
    names = past.state.__struct_fields__
    width = max(map(len, names), default=0)
    for name in names:
        text.say(f"  {name:<{width}}  {text.value(getattr(past.state, name))}")
