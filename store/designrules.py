"""The rules of the design that a class can be held to: events are facts, immutable, plain JSON."""

import re
from collections.abc import Iterable, Iterator
from typing import Any

from msgspec import inspect as types

from whence.store.events import Event
from whence.store.finding import Finding, place_of
from whence.store.naming import in_past_tense

_MONEY = re.compile(
    r"(?:^|_)(?:amount|balance|charge|cost|credit|debit|deposit|discount|fee|fare|money|paid|"
    r"payment|payout|price|refund|revenue|salary|subtotal|tax|total|turnover|wage)s?(?:_|$)"
)


_CLASSES = (types.StructType, types.DataclassType, types.NamedTupleType, types.TypedDictType)


def check_design(events: Iterable[type[Event]]) -> list[Finding]:
    """What is wrong with the classes of events; each class within them is looked at once."""
    findings: list[Finding] = []
    seen: set[type] = set()
    for cls in events:
        findings += _check_name(cls)
        findings += _check_struct(types.type_info(cls), cls, seen)
    return findings


def _check_name(cls: type[Event]) -> Iterator[Finding]:
    if not in_past_tense(cls.__name__) and not cls.__present_tense__:
        yield Finding(
            "error",
            f"{cls.__name__} is not in the past tense: an event is something that has happened; if "
            'the name has to be this, say why: present_tense="..." in its class line',
            place_of(cls),
        )


def _check_struct(found: Any, owner: type[Event], seen: set[type]) -> Iterator[Finding]:
    """Look at a type and all that it is made of."""
    if isinstance(found, _CLASSES):
        if found.cls in seen:
            return
        seen.add(found.cls)
        yield from _check_class(found, owner)
        for field in found.fields:
            yield from _check_field(found.cls, field)
            yield from _check_struct(field.type, owner, seen)
    else:
        for part in _parts(found):
            yield from _check_struct(part, owner, seen)


def _check_class(found: Any, owner: type[Event]) -> Iterator[Finding]:
    """An event's own class is held to this when it is made; the classes within it are anybody's."""
    cls = found.cls
    wrong: list[str] = []
    if isinstance(found, types.StructType):
        config = found.cls.__struct_config__
        if not config.frozen:
            wrong.append("can be changed: make it frozen (Struct, frozen=True)")
        if config.array_like:
            wrong.append("is array_like: a reordered field would swap stored values silently")
        if config.forbid_unknown_fields:
            wrong.append("forbids unknown fields: older releases could not read newer events")
    elif isinstance(found, types.NamedTupleType):
        wrong.append("is stored as an array: a reordered field would swap values; use a Struct")
    elif not getattr(getattr(cls, "__dataclass_params__", None), "frozen", False):
        wrong.append("can be changed: make it a Struct with frozen=True")
    for what in wrong:
        message = f"{cls.__name__}, which is a part of {owner.__name__}, {what}"
        yield Finding("error", message, place_of(cls))


def _check_field(cls: type, field: types.Field) -> Iterator[Finding]:
    where, place = f"{cls.__name__}.{field.name}", place_of(cls, field.name)
    inside = [field.type, *_below(field.type)]
    if any(isinstance(part, (types.AnyType, types.RawType)) for part in inside):
        yield Finding(
            "warning", f"{where} may be anything: nobody can tell later what is stored", place
        )
    if any(isinstance(part, (types.ListType, types.SetType)) for part in inside):
        yield Finding("warning", f"{where} can be changed: make it a tuple, or a frozenset", place)
    if _MONEY.search(field.name) and any(isinstance(part, types.FloatType) for part in inside):
        yield Finding(
            "warning",
            f"{where} looks like money and is a float, which cannot hold 0.10: make it an int of "
            "the smallest unit, or a Decimal",
            place,
        )


def _below(found: Any) -> Iterator[Any]:
    """All parts of a type, without those of the structs in it."""
    for part in _parts(found):
        yield part
        yield from _below(part)


def _parts(found: Any) -> Iterator[Any]:
    match found:
        case types.UnionType(types=several) | types.TupleType(item_types=several):
            yield from several
        case types.DictType(key_type=key, value_type=value):
            yield from (key, value)
        case types.CollectionType(item_type=one) | types.Metadata(type=one):
            yield one
        case _:
            pass
