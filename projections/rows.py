"""The rows of a view as JSON: a frozen msgspec Struct each, proven to come back as it went in."""

from typing import Any, Generic, TypeVar

import msgspec

from whence.store.errors import InvalidDomain, InvalidRow, RowMismatch, UnknownField, shown

R = TypeVar("R", bound=msgspec.Struct)

# What msgspec raises for bytes or objects it cannot take, beside its own errors.
_CODEC_ERRORS = (msgspec.MsgspecError, RecursionError, UnicodeError, TypeError, ValueError)


class Rows(Generic[R]):
    """The codec of one view.

    Raises:
        InvalidDomain: the class cannot be a row; the sentence says why.
    """

    def __init__(self, projection: str, cls: type[R]) -> None:
        self.projection = projection
        self.cls = cls
        _check_class(cls)
        try:
            self._decoder = msgspec.json.Decoder(cls)
        except TypeError as error:
            raise InvalidDomain(f"{cls.__name__} cannot be stored as JSON: {error}") from error
        self._encoder = msgspec.json.Encoder()
        self.fields = {f.encode_name: f.name for f in msgspec.structs.fields(cls)}

    def encode(self, key: str, row: Any) -> bytes:
        """The row as JSON. Raises InvalidRow when it would not come back as the same row."""
        if type(row) is not self.cls:
            raise InvalidRow(self.projection, key, f"it is not a {self.cls.__name__}: {shown(row)}")
        try:
            data = self._encoder.encode(row)
            stored = self._decoder.decode(data)
        except _CODEC_ERRORS as error:
            raise InvalidRow(self.projection, key, f"it cannot be stored: {error}") from error
        if stored != row:
            raise InvalidRow(
                self.projection, key, f"{shown(row)} would come back as {shown(stored)}"
            )
        return data

    def decode(self, key: str, data: bytes) -> R:
        """A stored row. Raises RowMismatch when it was stored by a class with other fields."""
        try:
            return self._decoder.decode(data)
        except _CODEC_ERRORS as error:
            raise RowMismatch(self.projection, key, self.cls.__name__, str(error)) from error

    def attribute(self, field: str) -> str:
        """The attribute that holds a JSON field. Raises UnknownField."""
        try:
            return self.fields[field]
        except KeyError:
            raise UnknownField(f"the view {self.projection}", field, list(self.fields)) from None


def _check_class(cls: type[msgspec.Struct]) -> None:
    config = cls.__struct_config__
    if not config.frozen:
        raise InvalidDomain(
            f"{cls.__name__} must be frozen (msgspec.Struct, frozen=True): the rows of a view are "
            "replaced, never changed in place"
        )
    if config.array_like:
        raise InvalidDomain(f"{cls.__name__} cannot be array_like: a view is asked by field names")
