"""Help, version and the list of commands."""

import importlib
from importlib.metadata import version
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from tests.cli.program import whence
from whence.cli import COMMANDS, main


def test_version_is_that_of_the_package(tmp_path: Path) -> None:
    result = whence("--version", cwd=tmp_path)
    assert (result.returncode, result.stdout) == (0, f"whence {version('whence')}\n")


def test_help_lists_every_command_without_importing_it(tmp_path: Path) -> None:
    result = whence("--help", cwd=tmp_path, env={"PYTHONPROFILEIMPORTTIME": "1"})
    assert result.returncode == 0
    for name, entry in COMMANDS.items():
        assert f"  {name} " in result.stdout
        assert entry.path.partition(":")[0] not in result.stderr
    assert "uvicorn" not in result.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_of_its_own(name: str) -> None:
    module, _, attribute = COMMANDS[name].path.partition(":")
    found: click.Command = getattr(importlib.import_module(module), attribute)
    assert found.name == name
    result = CliRunner().invoke(main, [name, "--help"])
    assert result.exit_code == 0
    assert f"Usage: main {name}" in result.output
