"""How values and their differences are shown to a person: a field a line."""

from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher
from typing import cast

from msgspec import Struct

_INDENT = "  "


def outline(value: object, label: str = "") -> list[str]:
    """A value as lines: a Struct has one for each field, and so have those in a list or tuple."""
    head = f"{label}: " if label else ""
    if isinstance(value, Struct):
        parts = [outline(getattr(value, name), name) for name in value.__struct_fields__]
        return [f"{head}{type(value).__name__}", *_indented(parts)]
    if isinstance(value, (list, tuple)):
        many = cast("Sequence[object]", value)
        if many and isinstance(many[0], Struct):
            return [f"{label}:", *_indented([outline(one) for one in many])]
    return [f"{head}{value!r}"]


def _indented(parts: Iterable[Sequence[str]]) -> list[str]:
    return [f"{_INDENT}{line}" for part in parts for line in part]


def difference(expected: Sequence[str], actual: Sequence[str]) -> list[str]:
    """Both texts in one: ``-`` before the lines that only the first has, ``+`` for the second."""
    if expected == actual:
        return [*(f"  {line}" for line in actual), "(they print alike, and are not equal)"]
    lines: list[str] = []
    for tag, i1, i2, j1, j2 in SequenceMatcher(None, expected, actual, False).get_opcodes():
        if tag == "equal":
            lines += [f"  {line}" for line in expected[i1:i2]]
        else:
            lines += [f"- {line}" for line in expected[i1:i2]]
            lines += [f"+ {line}" for line in actual[j1:j2]]
    return lines
