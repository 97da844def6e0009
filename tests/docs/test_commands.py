"""Every command that a page names is there, with the options and variables it is named with."""

import re

import click
import pytest

from tests.docs.pages import PAGES, ROOT, text
from whence.cli import main

# In a sentence, or as a line that is typed, with a variable in front or not.
_COMMAND = re.compile(r"(?:`|^|^\$ |^\w+=\S+ )(?:\.venv/bin/)?whence ([a-z][^`#\n]*)", re.MULTILINE)
_VARIABLE = re.compile(r"\bWHENCE_[A-Z_]+\b")
# What the tests read, and no program.
_OF_TESTS = {"WHENCE_DATA_DIR", "WHENCE_TEST_SERVERS"}


def unknown(line: str) -> list[str]:
    """The words of a line behind ``whence`` that it does not understand."""
    command: click.Command = main
    words, options = line.split(), {"--help"}
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        found = command.get_command(click.Context(command), words[0])
        if found is None:
            return words[:1]
        command = found
        options |= {name for parameter in found.params for name in parameter.opts}
        del words[0]
    return [
        word for word in words if word.startswith("-") and word.partition("=")[0] not in options
    ]


@pytest.mark.parametrize("page", PAGES)
def test_every_command_is_understood(page: str) -> None:
    lines = _COMMAND.findall(text(page))
    assert {line: unknown(line) for line in lines if unknown(line)} == {}


def test_what_is_not_there_is_noticed() -> None:
    assert unknown("projections rebuild NAME --verify") == []
    assert unknown("projections rebild NAME") == ["rebild"]
    assert unknown("reactions timers --verify") == ["--verify"]


def test_commands_are_found_wherever_a_page_has_them() -> None:
    shown = "so `whence web --port 1`:\n$ whence why order 42\nPORT=2 whence dev x:y  # or\n"
    assert _COMMAND.findall(shown) == ["web --port 1", "why order 42", "dev x:y  "]
    assert _COMMAND.findall(text("README.md"))


def test_every_variable_is_read_somewhere() -> None:
    files = [file for folder in ("src", "store", "web") for file in (ROOT / folder).rglob("*.py")]
    read = {name for file in files for name in _VARIABLE.findall(file.read_text(encoding="utf-8"))}
    named = {name for page in PAGES for name in _VARIABLE.findall(text(page))}
    assert named - read == _OF_TESTS
