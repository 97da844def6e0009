"""Query parameters: known by name, given once, and of the right form, or refused by name."""

import re
from collections.abc import Collection
from datetime import datetime
from urllib.parse import parse_qsl

from starlette.requests import Request

from whence.projections.freshness import LogPosition
from whence.store.errors import InvalidInput, shown

_MAX_PARAMETERS = 100
# Entry ids in streams are 64 bits; a longer number is a mistake in any parameter.
_NUMBER = re.compile(r"[0-9]{1,15}")
_POSITION = re.compile(r"([0-9]{1,4}):([0-9]{1,15})")
_MAX_POSITIONS = 100


def parameters(request: Request, known: Collection[str]) -> dict[str, str]:
    """The query parameters of a request.

    Raises:
        InvalidInput: one is unknown or given twice; ``field`` names it.
    """
    query: bytes = request.scope["query_string"]
    if not query:
        return {}
    try:
        pairs = parse_qsl(
            query.decode("latin-1"), keep_blank_values=True, max_num_fields=_MAX_PARAMETERS
        )
    except ValueError:
        raise InvalidInput(f"there are more than {_MAX_PARAMETERS} query parameters") from None
    found: dict[str, str] = {}
    for name, value in pairs:
        if name not in known:
            raise _unknown(name, known)
        if name in found:
            raise InvalidInput(f"the parameter {name} is given twice", field=name)
        found[name] = value
    return found


def _unknown(name: str, known: Collection[str]) -> InvalidInput:
    choices = f"it takes: {', '.join(known)}" if known else "it takes none"
    return InvalidInput(
        f"this address has no query parameter {shown(name)}; {choices}", field=name[:80]
    )


def number(found: dict[str, str], name: str, *, least: int, most: int | None = None) -> int | None:
    """A whole number, or None when it is not given. Raises InvalidInput."""
    text = found.get(name)
    if text is None:
        return None
    value = int(text) if _NUMBER.fullmatch(text) else -1
    if value < least or (most is not None and value > most):
        bounds = f"from {least}" if most is None else f"from {least} to {most}"
        raise InvalidInput(f"{name} is a whole number {bounds}, not {shown(text)}", field=name)
    return value


def log_positions(text: str, name: str, partitions: int) -> list[LogPosition]:
    """Places in a log of so many partitions, as "17:8812" or "17:8812,3:5". Raises InvalidInput."""
    parts = [part.strip() for part in text.split(",", _MAX_POSITIONS)]
    if len(parts) > _MAX_POSITIONS:
        raise InvalidInput(f"{name} takes at most {_MAX_POSITIONS} positions", field=name)
    found: list[LogPosition] = []
    for part in parts:
        match = _POSITION.fullmatch(part)
        if match is None or int(match[1]) >= partitions:
            raise InvalidInput(
                f"{name} is PARTITION:POSITION as a command answers it, for example 17:8812, with "
                f"a partition from 0 to {partitions - 1}, not {shown(part)}",
                field=name,
            )
        found.append(LogPosition(int(match[1]), int(match[2])))
    return found


def aware_moment(found: dict[str, str], name: str) -> datetime | None:
    """A moment with its offset from UTC, or None when it is not given. Raises InvalidInput."""
    text = found.get(name)
    if text is None:
        return None
    example = "write it as 2026-01-31T12:00:00Z, or with %2B01:00 for an offset of +01:00"
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidInput(
            f"{name} is not a moment: {shown(text)}; {example}", field=name
        ) from None
    if moment.tzinfo is None:
        raise InvalidInput(
            f"{name} needs its offset from UTC, for {shown(text)} is another moment in each time "
            f"zone; {example}",
            field=name,
        )
    return moment
