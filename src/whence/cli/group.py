"""The group of all commands: loads the one that is called, and turns its errors into sentences."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any, NamedTuple, cast

import click

from whence.store.errors import WhenceError


class Entry(NamedTuple):
    """Where a command lives (module:name), and its line in the list of commands."""

    path: str
    summary: str


class Group(click.Group):
    """A click group whose commands are imported on their first use.

    A WhenceError of any command becomes its sentence on stderr and exit code 1: this is the one
    place for that.
    """

    def __init__(self, *, entries: Mapping[str, Entry], **settings: Any) -> None:
        super().__init__(**settings)
        self._entries = entries

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._entries)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = self._entries.get(cmd_name)
        if entry is None:
            return None
        module, _, name = entry.path.partition(":")
        return cast("click.Command", getattr(import_module(module), name))

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.summary) for name, entry in self._entries.items()])

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except WhenceError as error:
            raise click.ClickException(str(error)) from error
