"""``whence why``: the events that set the fields of an aggregate."""

import asyncio

import click

from whence.actors.model import AggregateType
from whence.actors.why import Change, Explanation, explain
from whence.cli import text
from whence.cli.settings import domain_option, find_domain, json_option, server, url_option
from whence.domain import Domain
from whence.store.durability import RELAXED
from whence.store.eventstore import open_store
from whence.web.replies import WhyFieldReply, WhyReply


@click.command()
@click.argument("type_name", metavar="TYPE")
@click.argument("id_", metavar="ID")
@click.argument("field", required=False)
@json_option
@domain_option
@url_option
def why(
    type_name: str,
    id_: str,
    field: str | None,
    as_json: bool,
    domain_path: str | None,
    url: str | None,
) -> None:
    """Name the event that last set each field of an aggregate: when, by whom, and why.

    With FIELD: all events that ever changed this one, oldest first.
    For example: whence why order 42 status
    """
    domain = find_domain(domain_path)
    kind = domain.write_model.aggregate(type_name)
    with server(url) as found:
        explanation = asyncio.run(_explain(found.url, domain, kind, id_, field))
    if as_json:
        text.say_json(_document(explanation, field))
    else:
        _print(explanation, full=field is not None)


async def _explain(
    url: str, domain: Domain, kind: AggregateType, id_: str, field: str | None
) -> Explanation:
    async with open_store(url, durability=RELAXED) as store:
        return await explain(store, domain.write_model.events, kind, id_, field)


def _document(explanation: Explanation, field: str | None) -> WhyReply | WhyFieldReply:
    stream, version = explanation.stream, explanation.version
    last = {name: history[-1] if history else None for name, history in explanation.changes.items()}
    if field is None:
        return WhyReply(stream.id, stream.type, version, last)
    value = getattr(explanation.state, field)
    history = explanation.changes[field]
    return WhyFieldReply(stream.id, stream.type, version, field, value, last[field], history)


def _print(explanation: Explanation, *, full: bool) -> None:
    text.say(f"{explanation.stream}, version {explanation.version}")
    for name, changes in explanation.changes.items():
        click.echo()
        text.say(f"{name} is {text.value(getattr(explanation.state, name))}")
        if not changes:
            text.say("  as from the beginning: no event has changed it")
        for change in changes if full else changes[-1:]:
            _print_change(change)


def _print_change(change: Change) -> None:
    text.say(f"  version {change.version}, {change.type}, {text.moment(change.occurred_at)}")
    text.say(f"    {text.value(change.old)} -> {text.value(change.new)}")
    if change.who:
        text.say(f"    by {change.who}")
    if change.reason:
        text.say(f"    because: {change.reason}")
    for name, note in change.notes.items():
        text.say(f"    {name}: {note}")
