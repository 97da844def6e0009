"""The declared indexes of a view: what stands in its sorted set, in the order of the values.

Each partition has one sorted set for all indexes of a view, of members without scores: the name of
the field, a zero byte, the value in a form whose bytes are in its order, and the key of the row.
"""

import struct
from collections.abc import Sequence
from datetime import UTC, date, datetime
from enum import Enum
from math import inf
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from msgspec import inspect

from whence.projections.rows import Rows
from whence.store.errors import InvalidDomain, InvalidInput, RowMismatch, shown

# Text is ordered by so many bytes of UTF-8, and then by the key of the row.
TEXT_BYTES = 128

_NONE, _FALSE, _TRUE, _NUMBER, _MOMENT, _DAY, _TEXT = (bytes([n]) for n in range(1, 8))
# Behind a text: less than anything that could follow in a longer one.
_END = b"\0\x01"
_ESCAPED = b"\0\xff"
_WORD = 1 << 63
_MOST = _WORD - 1
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_ORDERED = (
    inspect.NoneType,
    inspect.BoolType,
    inspect.IntType,
    inspect.FloatType,
    inspect.StrType,
    inspect.DateTimeType,
    inspect.DateType,
    inspect.UUIDType,
    inspect.EnumType,
    inspect.LiteralType,
)
_ERRORS = (msgspec.MsgspecError, ValueError, RecursionError)


class Range(NamedTuple):
    """The members of rows that may have a value; ``exact``: and no others."""

    field: str
    value: bytes
    exact: bool


class Indexes:
    """The indexes of one view.

    Args:
        fields: names of fields as its JSON has them.

    Raises:
        InvalidDomain: a row has no such field, or its values have no order.
    """

    def __init__(self, rows: Rows[Any], fields: Sequence[str]) -> None:
        self.fields = tuple(sorted(fields))
        self._rows = rows
        known = {field.encode_name: field for field in inspect_fields(rows.cls)}
        for name in fields:
            if name not in known or not name.isidentifier():
                raise InvalidDomain(
                    f"{rows.projection} cannot have an index on {shown(name)}: its rows have the "
                    f"fields {', '.join(known)}"
                )
            _check_ordered(rows.projection, name, known[name].type)
        # 5 and 5.0 are one number, and not the same JSON.
        self._with_floats = {name for name in fields if _may_be_float(known[name].type)}
        if len(set(fields)) < len(fields):
            raise InvalidDomain(f"{rows.projection} names an index twice: {', '.join(fields)}")
        types = {field.encode_name: field.type for field in msgspec.structs.fields(rows.cls)}
        self._values = {name: msgspec.json.Decoder(types[name]) for name in fields}
        # Of a stored row it is these fields that matter; missing ones have their defaults.
        partial = msgspec.defstruct(
            "Indexed",
            [
                (field.name, field.type, _default(field))
                for field in msgspec.structs.fields(rows.cls)
                if field.encode_name in fields
            ],
            rename={rows.fields[name]: name for name in fields},
            kw_only=True,
        )
        self._partial = msgspec.json.Decoder(partial)

    def members(self, key: str, row: Any) -> set[bytes]:
        """What stands in the sorted set for a row, None for none."""
        if row is None:
            return set()
        name = key.encode()
        return {
            prefix(field) + encode_value(getattr(row, self._rows.fields[field])) + name
            for field in self.fields
        }

    def stored_members(self, key: str, data: bytes | None) -> set[bytes]:
        """The same for a row as it is stored. Raises RowMismatch."""
        if data is None:
            return set()
        try:
            return self.members(key, self._partial.decode(data))
        except _ERRORS as error:
            name = self._rows.cls.__name__
            raise RowMismatch(self._rows.projection, key, name, str(error)) from error

    def value_of(self, field: str, row: Any) -> bytes:
        """The value of an indexed field, in the form that is in its order."""
        return encode_value(getattr(row, self._rows.fields[field]))

    def ranges(self, field: str, text: str) -> list[Range]:
        """Where the rows are whose field has a value, as JSON text with its quotes left out.

        So 5 is the number and the string: each that this field can be.
        """
        encode = msgspec.json.encode
        plain = text.encode(errors="backslashreplace")
        found: dict[bytes, Range] = {}
        for data in (plain, encode(plain.decode())):
            try:
                value = self._values[field].decode(data)
            except _ERRORS:
                continue
            if encode(value) == data:  # else no stored value looks like this
                coded = encode_value(value)
                exact = field not in self._with_floats and _is_exact(value)
                found[coded] = Range(field, coded, exact)
        return list(found.values())

    def order(self, text: str) -> tuple[str, bool]:
        """The field to order by, and whether the greatest comes first: "placed_at", "-placed_at".

        Raises:
            InvalidInput: there is no such index; ``field`` is "order".
        """
        field = text.removeprefix("-")
        if field not in self.fields:
            can = f"by {', '.join(self.fields)}" if self.fields else "by nothing but their keys"
            raise InvalidInput(
                f"the rows of {self._rows.projection} cannot be ordered by {shown(field)}: "
                f"they can be ordered {can}",
                field="order",
            )
        return field, text.startswith("-")


def prefix(field: str) -> bytes:
    """What the members of a field begin with."""
    return field.encode() + b"\0"


def encode_value(value: Any) -> bytes:
    """A value as bytes that are in its order; no such bytes begin those of another value."""
    if isinstance(value, Enum):
        value = value.value
    match value:
        case None:
            coded = _NONE
        case bool():
            coded = _TRUE if value else _FALSE
        case int() | float():
            coded = _NUMBER + _number(value)
        case str() | UUID():
            text = str(value).encode()[:TEXT_BYTES]
            coded = _TEXT + text.replace(b"\0", _ESCAPED) + _END
        case datetime():
            moment = value if value.tzinfo else value.replace(tzinfo=UTC)
            since = moment - _EPOCH
            seconds = since.days * 86_400 + since.seconds
            coded = _MOMENT + _word(seconds * 1_000_000 + since.microseconds)
        case date():
            coded = _DAY + _word(value.toordinal())
        case _:
            raise TypeError(f"{shown(value)} has no order")
    return coded


def split(member: bytes) -> tuple[bytes, bytes]:
    """What stands behind the prefix of a member: its value, and the key of the row."""
    tag = member[:1]
    if tag == _TEXT:
        end = member.index(_END) + len(_END)
    else:
        end = {_NUMBER: 17, _MOMENT: 9, _DAY: 9}.get(tag, 1)
    return member[:end], member[end:]


def _number(value: float) -> bytes:
    """The nearest float, and how far an integer is from it: floats are coarse from 2 ** 53 on."""
    try:
        near = float(value)
    except OverflowError:
        near = inf if value > 0 else -inf
    rest = int(value) - int(near) if isinstance(value, int) and abs(near) < inf else 0
    (bits,) = struct.unpack(">q", struct.pack(">d", near or 0.0))  # there is one zero
    return _word(bits if bits >= 0 else -(bits & _MOST) - 1) + _word(rest)


def _word(number: int) -> bytes:
    """A whole number as 8 bytes in its order; those that do not fit are all alike."""
    return (min(max(number, -_WORD), _MOST) + _WORD).to_bytes(8, "big")


def _is_exact(value: Any) -> bool:
    """Whether no other value of a row looks the same in an index."""
    match value:
        case Enum():
            return _is_exact(value.value)
        case str():
            return len(value.encode()) <= TEXT_BYTES
        case bool() | None:
            return True
        case int():
            return abs(value) < _MOST
        case _:  # one moment in two time zones
            return False


def inspect_fields(cls: type[msgspec.Struct]) -> Sequence[inspect.Field]:
    found = inspect.type_info(cls)
    assert isinstance(found, inspect.StructType), "rows are structs"
    return found.fields


def _types(type_: inspect.Type) -> Sequence[inspect.Type]:
    return type_.types if isinstance(type_, inspect.UnionType) else (type_,)


def _may_be_float(type_: inspect.Type) -> bool:
    return any(isinstance(one, inspect.FloatType) for one in _types(type_))


def _check_ordered(projection: str, name: str, type_: inspect.Type) -> None:
    for one in _types(type_):
        if not isinstance(one, _ORDERED):
            raise InvalidDomain(
                f"{projection} cannot have an index on {name}: use bool, int, float, str, "
                "datetime, date, UUID, an Enum or Literal of them, or None"
            )


def _default(field: msgspec.structs.FieldInfo) -> Any:
    if field.default is not msgspec.NODEFAULT:
        return field.default
    if field.default_factory is not msgspec.NODEFAULT:
        return msgspec.field(default_factory=field.default_factory)
    return msgspec.NODEFAULT
