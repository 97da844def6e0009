"""The schema of an event as its stored bytes show it, and what differs between two of them.

It is JSON Schema without what has no influence on the bytes: the names of Python classes, their
docstrings, the order of fields.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

from whence.store.events import Event

Schema = dict[str, Any]

_WORDS = ("title", "description", "examples")
# In these the order says nothing.
_SETS = ("required", "enum", "anyOf")
_ABSENT = object()


class Difference(NamedTuple):
    """One difference: at which field, and whether stored events can still be read as they were."""

    field: str
    message: str
    compatible: bool = False


def schema_of(cls: type[Event]) -> Schema:
    """The schema of an event class, each time the same for the same bytes."""
    document = msgspec.json.schema(cls)
    plain: Schema = _plain(document, document.get("$defs", {}), ())
    return plain


def _plain(schema: Any, definitions: Mapping[str, Any], inside: tuple[str, ...]) -> Any:
    if not isinstance(schema, dict):
        return schema
    found: dict[str, Any] = dict(schema)  # pyright: ignore[reportUnknownArgumentType]
    name = str(found.get("$ref", "")).rpartition("/")[2]
    if name in inside:
        # A class within itself. Its depth and not its name: a class may be renamed.
        return {"within": len(inside) - inside.index(name)}
    if name:
        rest = {key: value for key, value in found.items() if key != "$ref"}
        return _plain({**definitions[name], **rest}, definitions, (*inside, name))
    return {
        key: _plain_value(key, value, definitions, inside)
        for key, value in sorted(found.items())
        if key not in _WORDS and key != "$defs"
    }


def _plain_value(
    key: str, value: Any, definitions: Mapping[str, Any], inside: tuple[str, ...]
) -> Any:
    if key == "properties":  # its keys are names, such as "title"
        return {name: _plain(one, definitions, inside) for name, one in sorted(value.items())}
    if key == "default":
        return value
    if isinstance(value, list):
        members: list[Any] = [_plain(one, definitions, inside) for one in value]  # pyright: ignore[reportUnknownVariableType]
        return sorted(members, key=_text) if key in _SETS else members
    return _plain(value, definitions, inside)


def differences(old: Schema, new: Schema, field: str = "") -> Iterator[Difference]:
    """What has changed between two schemas, field by field."""
    if "properties" in old and "properties" in new:
        yield from _object_differences(old, new, field)
    elif "items" in old and "items" in new:
        yield from differences(old["items"], new["items"], f"{field}[]")
    yield from _default_differences(old, new, field)
    former, present = _rest(old, new), _rest(new, old)
    if former != present:
        yield Difference(field, f"{_of(field)} was {_text(former)} and is {_text(present)}")


def _object_differences(old: Schema, new: Schema, outer: str) -> Iterator[Difference]:
    before, after = old["properties"], new["properties"]
    needed_before, needed = old.get("required", []), new.get("required", [])
    for name in sorted(before.keys() | after.keys()):
        field = f"{outer}.{name}" if outer else name
        if name not in after:
            yield Difference(field, f"{_of(field)} is gone")
        elif name not in before:
            if name in needed:
                yield Difference(field, f"{_of(field)} is new and has no default")
            else:
                yield Difference(field, f"{_of(field)} is new", compatible=True)
        else:
            yield from differences(before[name], after[name], field)
            if name in needed and name not in needed_before:
                yield Difference(field, f"{_of(field)} has lost its default")


def _default_differences(old: Schema, new: Schema, field: str) -> Iterator[Difference]:
    before, after = old.get("default", _ABSENT), new.get("default", _ABSENT)
    if before is _ABSENT and after is not _ABSENT:
        yield Difference(field, f"{_of(field)} now has a default", compatible=True)
    elif after is not _ABSENT and _text(before) != _text(after):  # True is no 1 here
        yield Difference(
            field, f"the default of {field!r} was {_text(before)} and is {_text(after)}"
        )


def _rest(one: Schema, other: Schema) -> Schema:
    """What the functions above have not compared."""
    done = {"default"}
    for key in ("properties", "items"):
        if key in one and key in other:
            done |= {key, "required"}
    return {key: value for key, value in one.items() if key not in done}


def _of(field: str) -> str:
    return f"the field {field!r}" if field else "the whole"


def _text(value: Any) -> str:
    return msgspec.json.encode(value, order="deterministic").decode()
