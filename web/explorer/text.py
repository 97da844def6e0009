"""How values and moments read on a page."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

# Characters of a value that a page shows; the API has all of them.
MAX_SHOWN = 1_000
# A longer value is spread over lines.
_ONE_LINE = 60


def visible(text: str, limit: int = MAX_SHOWN) -> str:
    """Text with nothing hidden in it: what no reader would see, or what turns the direction of the
    text around it, stands as its escape; cut at ``limit`` characters.
    """
    shown = text[:limit]
    if not shown.isprintable():
        shown = "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in shown)
    return shown if len(text) <= limit else f"{shown}… ({len(text):,} characters)"


def value(anything: Any) -> str:
    """A value as JSON: on one line if that is short, otherwise with a line for each part."""
    data = msgspec.json.encode(anything)
    if len(data) > MAX_SHOWN:
        return visible(data.decode())
    return visible(_spread(msgspec.json.decode(data), ""))


def _spread(parsed: Any, indent: str) -> str:
    line = msgspec.json.format(msgspec.json.encode(parsed), indent=0).decode()
    inner = f"{indent}  "
    if len(line) <= _ONE_LINE or line[0] not in "[{":
        return line
    if line[0] == "[":
        parts = [_spread(one, inner) for one in parsed]
    else:
        parts = [f"{_spread(name, inner)}: {_spread(one, inner)}" for name, one in parsed.items()]
    lines = ",\n".join(f"{inner}{part}" for part in parts)
    return f"{line[0]}\n{lines}\n{indent}{line[-1]}"


def moment(when: datetime) -> str:
    """A moment for people: 2026-01-31 12:00:00.123 UTC."""
    text = when.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
    return f"{text[:-3]} UTC"


def milliseconds(when: datetime) -> int:
    """Milliseconds since 1970, rounded up, so that the moment itself has passed by then."""
    return -((datetime.fromtimestamp(0, UTC) - when) // timedelta(milliseconds=1))


def count(number: float, noun: str) -> str:
    """A number and what it counts: 1 event, 1,200 events."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def duration(seconds: float) -> str:
    """A time to wait, about: 8 seconds, 3 minutes, 2 hours."""
    for unit, name in ((3_600, "hour"), (60, "minute")):
        if seconds >= 2 * unit:
            return count(round(seconds / unit), name)
    return count(max(1, round(seconds)), "second")
