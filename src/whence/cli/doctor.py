"""``whence doctor``: what could lose events on a server, and what to do about it."""

import asyncio
from collections.abc import Sequence

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from whence.cli import text
from whence.cli.settings import durability_option, json_option, server, url_option
from whence.store.doctor import Finding, examine, visit
from whence.store.durability import Durability

_HEAD = ("check", "found", "verdict", "what to do")
_COLOURS = {"ok": "green", "warning": "yellow", "danger": "red"}


@click.command()
@json_option
@durability_option
@url_option
def doctor(as_json: bool, durability: Durability, url: str | None) -> None:
    """Examine the server: what could lose events there, and what wastes its memory.

    Nothing is changed. Ends with exit code 1 if anything is a danger to the events.
    """
    with server(url, durability=durability) as found:
        findings = asyncio.run(_examine(found.url, durability))
    if as_json:
        text.say_json(findings)
    else:
        _print(findings)
    if any(finding.verdict == "danger" for finding in findings):
        raise click.exceptions.Exit(1)


async def _examine(url: str, durability: Durability) -> list[Finding]:
    async with visit(url) as store:
        return await examine(store, durability)


def _print(findings: Sequence[Finding]) -> None:
    console = Console()
    if console.is_terminal:
        console.print(_table(findings))
        return
    rows = [_HEAD, *(_row(finding) for finding in findings)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD) - 1)]
    for *cells, advice in rows:
        padded = [f"{cell:<{width}}" for cell, width in zip(cells, widths, strict=True)]
        text.say("  ".join([*padded, advice]).rstrip())


def _table(findings: Sequence[Finding]) -> Table:
    table = Table(*_HEAD)
    for finding in findings:
        name, found, verdict, advice = _row(finding)
        # As Text, so that nothing the server says is taken for markup.
        table.add_row(Text(name), Text(found), Text(verdict, _COLOURS[verdict]), Text(advice))
    return table


def _row(finding: Finding) -> tuple[str, str, str, str]:
    return (finding.name, finding.found, finding.verdict, finding.advice)
