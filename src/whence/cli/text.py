"""How values appear on a terminal."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

import click
import msgspec


def value(anything: Any) -> str:
    """A value as compact JSON."""
    return msgspec.json.encode(anything).decode()


def moment(when: datetime) -> str:
    """A moment as --at takes it."""
    return when.isoformat().replace("+00:00", "Z")


def say(line: str) -> None:
    """Print a line that may hold text from strangers: it must not control the terminal."""
    click.echo("".join(char if char.isprintable() else ascii(char)[1:-1] for char in line))


def say_table(rows: Sequence[Sequence[str]], *, right: Collection[int] = ()) -> None:
    """Print rows of equal length as columns; the numbers of those aligned ``right``."""
    widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]))]
    for row in rows:
        cells = [
            cell.rjust(width) if n in right else cell.ljust(width)
            for n, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        say("  ".join(cells).rstrip())


def say_json(document: Any) -> None:
    """Print a document in the form that HTTP gives it, indented."""
    click.echo(msgspec.json.format(msgspec.json.encode(document)))
