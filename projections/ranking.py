"""The order of the rows on a page, and what names a place in it."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any, NamedTuple

import msgspec

from whence.projections.projection import Projection
from whence.store.errors import InvalidInput, shown


class Ranking(NamedTuple):
    """By keys, or by an indexed ``field`` and then by keys.

    ``after`` is the rank of the last row of the page before, None for the first page.
    """

    projection: Projection[Any]
    field: str = ""
    backwards: bool = False
    after: bytes | None = None

    def rank(self, key: str, row: msgspec.Struct) -> bytes:
        """What rows are sorted by; that of keys is in the order of their characters."""
        value = self.projection.indexes.value_of(self.field, row) if self.field else b""
        return value + key.encode()

    def is_after(self, rank: bytes) -> bool:
        if self.after is None:
            return True
        return rank < self.after if self.backwards else rank > self.after

    def next(self, key: str, row: msgspec.Struct) -> str:
        """What to ask for the page after this row."""
        if not self.field:
            return key
        return urlsafe_b64encode(self.rank(key, row)).rstrip(b"=").decode()


def ranking_of(projection: Projection[Any], order: str | None, after: str | None) -> Ranking:
    """The order that is asked for: "placed_at", "-placed_at", or None for that of the keys.

    Raises:
        InvalidInput: there is no such index, or ``after`` is no place in that order.
    """
    if order is None:
        place = None if after is None else after.encode(errors="surrogatepass")
        return Ranking(projection, after=place)
    field, backwards = projection.indexes.order(order)
    return Ranking(projection, field, backwards, None if after is None else _place(after))


def _place(after: str) -> bytes:
    try:
        return urlsafe_b64decode(after.encode("ascii") + b"=" * (-len(after) % 4))
    except ValueError:
        raise InvalidInput(
            f"{shown(after)} is no place between two pages: give the value of next, as it is, "
            "together with the same order",
            field="after",
        ) from None
