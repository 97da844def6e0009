"""``whence keys``: API keys for those who use the HTTP interface."""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import click
import msgspec

from whence.cli import text
from whence.store.errors import InvalidSetting, shown
from whence.web.access import SCOPES, Scope
from whence.web.apikeys import ApiKey, new_key, read_keys

_DEFAULT = Path("whence-keys.json")

file_option = click.option(
    "--file",
    type=click.Path(path_type=Path, dir_okay=False),
    envvar="WHENCE_API_KEYS",
    show_envvar=True,
    default=_DEFAULT,
    show_default=True,
    help="Where the keys are kept, as hashes.",
)


@click.group()
def keys() -> None:
    """Make, list and remove API keys.

    "whence web" reads the file when it starts: restart it after a change.
    """


@keys.command()
@click.argument("name")
@click.option(
    "--scope",
    type=click.Choice(SCOPES),
    required=True,
    help="What its holder may do: read; write as well; or administer as well.",
)
@file_option
def add(name: str, scope: str, file: Path) -> None:
    """Make a key and print it, once: only a hash is kept.

    For example: whence keys add checkout --scope write
    """
    kept = _kept(file)
    if any(key.name == name for key in kept):
        raise InvalidSetting(f"there is a key named {shown(name)} already: remove it first")
    secret, key = new_key(name, cast("Scope", scope))
    _write(file, [*kept, key])
    text.say(secret)
    click.echo(f"Its hash is in {file}; the key itself is shown only now", err=True)


@keys.command(name="list")
@file_option
def list_(file: Path) -> None:
    """List the keys: their names and what they may do."""
    kept = _kept(file)
    if not kept:
        text.say(f"{file} has no keys")
    for key in kept:
        text.say(f"{key.name}  {key.scope}")


@keys.command()
@click.argument("name")
@file_option
def remove(name: str, file: Path) -> None:
    """Remove the key NAME."""
    kept = _kept(file)
    left = [key for key in kept if key.name != name]
    if len(left) == len(kept):
        raise InvalidSetting(f"{file} has no key named {shown(name)}")
    _write(file, left)


def _kept(file: Path) -> list[ApiKey]:
    return read_keys(file) if file.exists() else []


def _write(file: Path, kept: Sequence[ApiKey]) -> None:
    """Replace the file as a whole, readable by its owner alone."""
    data = msgspec.json.format(msgspec.json.encode(kept), indent=2)
    try:
        with tempfile.NamedTemporaryFile(dir=file.parent, delete=False) as written:
            written.write(data + b"\n")
        os.replace(written.name, file)  # noqa: PTH105  # both are paths in one folder
    except OSError as error:
        raise InvalidSetting(f"{file} cannot be written: {error.strerror}") from error
