"""``whence replay``: the states of all aggregates of a kind, now or at a moment, as JSON lines."""

import asyncio
from datetime import datetime

import click

from whence.actors.model import AggregateType, WriteModel
from whence.actors.replay import replay as replay_states
from whence.cli import text
from whence.cli.moment import Moment
from whence.cli.settings import domain_option, find_domain, server, url_option
from whence.store.eventstore import open_store
from whence.store.recorded import moment
from whence.web.replies import StateReply


@click.command()
@click.argument("type_name", metavar="TYPE")
@click.option(
    "--at", type=Moment(), metavar="MOMENT", help="As they were then, as 2026-01-31T12:00:00Z."
)
@domain_option
@url_option
def replay(type_name: str, at: datetime | None, domain_path: str | None, url: str | None) -> None:
    """Print the states of all aggregates of a kind, one JSON document per line.

    For example: whence replay order --at 2026-01-31T12:00:00Z
    """
    domain = find_domain(domain_path)
    kind = domain.write_model.aggregate(type_name)
    with server(url) as found:
        asyncio.run(_print(found.url, domain.write_model, kind, at))


async def _print(url: str, model: WriteModel, kind: AggregateType, at: datetime | None) -> None:
    async with open_store(url) as store:
        async for found in replay_states(store, model, kind.cls, at=at):
            since = moment(found.occurred_at_us)
            reply = StateReply(found.stream.id, kind.name, found.version, since, found.state)
            click.echo(text.value(reply))
