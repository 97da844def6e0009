"""What a check has to say about a domain, and the line of the source that it is about."""

import inspect
import re
from pathlib import Path
from typing import Literal, NamedTuple

Severity = Literal["error", "warning"]


class Place(NamedTuple):
    """A line of a file; the line is 0 when only the file is known."""

    file: Path
    line: int = 0


class Finding(NamedTuple):
    """A sentence about a place; ``place`` is None when nobody knows where it is."""

    severity: Severity
    message: str
    place: Place | None = None


def place_of(cls: type, field: str = "") -> Place | None:
    """The line of a class, or of one of its fields; None for a class without a source."""
    try:
        file = Path(inspect.getsourcefile(cls) or "")
        lines, first = inspect.getsourcelines(cls)
    except (OSError, TypeError):
        return None
    declares = re.compile(rf"\s+{re.escape(field)}\s*:" if field else r"\s*class\b")
    for number, line in enumerate(lines, first):
        if declares.match(line):
            return Place(file, number)
    return Place(file, first)  # an inherited field


def line_with(file: Path, text: str) -> Place:
    """The first line of a file that has this text in it."""
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        if text in line:
            return Place(file, number)
    return Place(file)
