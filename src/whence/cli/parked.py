"""``parked``, ``retry`` and ``skip``: events that projections and reactions cannot apply."""

import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Literal, NamedTuple

import click
import uvloop

from whence.cli import text
from whence.cli.settings import find_domain, json_option, server
from whence.cli.sqlviews import at_database, sql_option
from whence.domain import Domain
from whence.projections import requests
from whence.projections.live import Named
from whence.projections.parked import (
    ParkedSequence,
    SkippedEvent,
    parked_sequences,
    skipped_events,
)
from whence.projections.readmodel import ReadModel
from whence.projections.requests import Answer
from whence.store.durability import RELAXED
from whence.store.errors import InvalidSetting, NotParked
from whence.store.eventstore import EventStore, open_store
from whence.store.ids import StreamId

_PARKED = ("aggregate", "version", "event", "since", "tries", "waiting", "reason")
_SKIPPED = ("aggregate", "version", "event", "when", "by", "reason", "failure")

domain_again = click.option("--domain", "domain_path", metavar="MODULE:NAME", help="The domain.")
url_again = click.option("--url", metavar="URL", help="The server.")


class Given(NamedTuple):
    """What stands before the name of the action, or in the environment.

    ``of`` are those whose events may be parked.
    """

    domain_path: str | None
    url: str | None
    of: Literal["projections", "reactions"] = "projections"


class Row(NamedTuple):
    """A parked sequence or a skipped event, of a projection or a reaction."""

    of: Named
    aggregate: str
    version: int
    position: int
    event: str
    more: dict[str, Any]

    def document(self) -> dict[str, Any]:
        """As JSON has it."""
        fields: dict[str, Any] = self._asdict()
        of: Named = fields.pop("of")
        more: dict[str, Any] = fields.pop("more")
        return {of.kind: of.name} | fields | more


@click.command()
@click.argument("name", required=False)
@click.option("--skipped", is_flag=True, help="Show what was skipped instead, by whom and why.")
@json_option
@domain_again
@url_again
@click.pass_obj
def parked(
    given: Given,
    name: str | None,
    skipped: bool,
    as_json: bool,
    domain_path: str | None,
    url: str | None,
) -> None:
    """List the aggregates whose events wait because one of them cannot be applied.

    Of each: the first event that waits, why, since when, how often it was tried, and how many wait
    in all. Of the projection or reaction NAME, or of all.

    Exit code 1 says that something is parked.
    """
    domain = find_domain(domain_path or given.domain_path)
    chosen = _chosen(given, domain, domain.read_model, name)
    with server(url or given.url) as found:
        rows = uvloop.run(_rows(found.url, chosen, skipped))
    if as_json:
        text.say_json([row.document() for row in rows])
    elif rows:
        head = (rows[0].of.kind, *(_SKIPPED if skipped else _PARKED))
        text.say_table([head, *(_cells(row) for row in rows)], right=(2,))
    else:
        click.echo("nothing was skipped" if skipped else "nothing is parked")
    if rows and not skipped:
        sys.exit(1)


def _chosen(given: Given, domain: Domain, model: ReadModel, name: str | None) -> Sequence[Named]:
    """All, or the one of this name. Raises UnknownProjection, UnknownReaction."""
    if given.of == "reactions":
        reactions = domain.reactions
        return [*reactions.reactions.values()] if name is None else [reactions.reaction(name)]
    return [*model.projections.values()] if name is None else [model.projector(name)]


async def _rows(url: str, chosen: Sequence[Named], skipped: bool) -> list[Row]:
    async with open_store(url, durability=RELAXED) as store:
        if skipped:
            return [_skip(one, x) for one in chosen for x in await skipped_events(store, one)]
        return [_park(one, x) for one in chosen for x in await parked_sequences(store, one)]


def _park(of: Named, found: ParkedSequence) -> Row:
    note = found.note
    more = {
        "since": found.since,
        "tries": note.attempts,
        "waiting": found.waiting,
        "reason": note.reason,
    }
    return Row(of, str(found.stream), note.version, note.position, note.type, more)


def _skip(of: Named, found: SkippedEvent) -> Row:
    skip = found.skip
    more = {"when": found.moment, "by": skip.by, "reason": skip.reason, "failure": skip.failure}
    return Row(of, str(found.stream), found.version, skip.position, skip.type, more)


def _cells(row: Row) -> tuple[str, ...]:
    moment, *more = row.more.values()
    return (
        row.of.name,
        row.aggregate,
        str(row.version),
        row.event or "?",
        text.moment(moment),
        *map(str, more),
    )


@click.command()
@click.argument("name", required=False)
@click.argument("stream", required=False)
@domain_again
@url_again
@sql_option
@click.pass_obj
def retry(
    given: Given,
    name: str | None,
    stream: str | None,
    domain_path: str | None,
    url: str | None,
    sql_url: str | None,
) -> None:
    """Apply the events that are parked, in their order, up to where the feed has been read.

    Of the projection or reaction NAME or of all; of one aggregate, STREAM, or of all. The worker
    that has the partition does it, with the code that it runs. Where none is, a projection's are
    applied here, and a reaction's wait for a worker.

    For example, once the handler is mended: whence projections retry order-list order/42
    """
    domain = find_domain(domain_path or given.domain_path)
    _chosen(given, domain, domain.read_model, name)
    wanted = None if stream is None else _stream(stream)
    with server(url or given.url) as found:
        fine = uvloop.run(_retry(found.url, given, domain, sql_url, name, wanted))
    if not fine:
        sys.exit(1)


async def _retry(
    url: str,
    given: Given,
    domain: Domain,
    sql_url: str | None,
    name: str | None,
    wanted: StreamId | None,
) -> bool:
    """Whether all that was parked is applied now. Raises NotParked for a stream that is not."""
    fine = True
    async with _reached(url, given, domain, sql_url, name) as (store, chosen):
        for one in chosen:
            streams = [wanted] if wanted else await _parked_streams(store, one)
            for stream in streams:
                try:
                    answer = await requests.retry(store, one, stream)
                except NotParked:
                    if wanted:
                        raise
                    continue  # it was applied meanwhile
                fine = _report(one, stream, answer) and fine
            if not streams:
                text.say(f"nothing is parked in {one.name}")
    return fine


@asynccontextmanager
async def _reached(
    url: str, given: Given, domain: Domain, sql_url: str | None, name: str | None
) -> AsyncGenerator[tuple[EventStore, Sequence[Named]]]:
    """The store, and all or the one of this name, projections where their views are kept."""
    async with open_store(url, durability=RELAXED) as store:
        if given.of == "reactions":
            yield store, _chosen(given, domain, domain.read_model, name)
            return
        async with at_database(domain.read_model, sql_url) as views:
            yield store, _chosen(given, domain, views, name)


async def _parked_streams(store: EventStore, one: Named) -> list[StreamId]:
    return [found.stream for found in await parked_sequences(store, one)]


@click.command()
@click.argument("name")
@click.argument("stream")
@click.option("--reason", required=True, help="Why it can be done without; it is kept.")
@domain_again
@url_again
@sql_option
@click.pass_obj
def skip(
    given: Given,
    name: str,
    stream: str,
    reason: str,
    domain_path: str | None,
    url: str | None,
    sql_url: str | None,
) -> None:
    """Do without the event at which the aggregate STREAM is parked.

    NAME is the projection or reaction. The events behind it are applied. Who decided it, when and
    why is kept: see "parked --skipped". A view does without the event when it is made anew as
    well: see "whence projections rebuild --forget-skips".

    For example: whence projections skip order-list order/42 --reason "ordered by a test"
    """
    domain = find_domain(domain_path or given.domain_path)
    _chosen(given, domain, domain.read_model, name)
    wanted = _stream(stream)
    with server(url or given.url) as found:
        fine = uvloop.run(_skip_one(found.url, given, domain, sql_url, name, wanted, reason))
    if not fine:
        sys.exit(1)


async def _skip_one(
    url: str,
    given: Given,
    domain: Domain,
    sql_url: str | None,
    name: str,
    stream: StreamId,
    reason: str,
) -> bool:
    async with _reached(url, given, domain, sql_url, name) as (store, (one,)):
        return _report(one, stream, await requests.skip(store, one, stream, reason))


def _stream(named: str) -> StreamId:
    """The stream that "order/42" names. Raises InvalidId, InvalidSetting."""
    type_name, separator, id_ = named.partition("/")
    if not separator:
        raise InvalidSetting(
            f"{named!r} does not name an aggregate: write it as TYPE/ID, as order/42",
            field="stream",
        )
    return StreamId.checked(type_name, id_)


def _report(one: Named, stream: StreamId, answer: Answer) -> bool:
    """Say what became of a request; whether all of the sequence is applied."""
    match answer.outcome:
        case "applied":
            text.say(f"{one.name}: all events of {stream} are applied")
            return True
        case "parked":
            assert answer.note is not None, "what is parked has a note"
            text.say(
                f"{one.name}: {stream} is parked at version {answer.note.version}: "
                f"{answer.note.reason}"
            )
            return False
        case "open":
            text.say(
                f"{one.name}: the worker has not come to {stream} yet; it stays asked, and "
                f'is done as soon as a worker does ("whence {one.kind}s parked" shows it)'
            )
            return False
