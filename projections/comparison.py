"""What a comparison of two generations of a view has found."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

# Differences that are told one by one; the rest is counted.
MOST = 100


class Difference(NamedTuple):
    """A field that is not the same in two generations; without ``field`` it is the whole row.

    ``before`` and ``after`` are JSON values; None as well where there is no such row or field. Of a
    SQL view, ``table`` is the one that has the row, and ``field`` is a column.
    """

    key: str
    field: str
    before: Any
    after: Any
    table: str = ""


class Comparison(NamedTuple):
    """``rows`` were compared, ``different`` of them differ; ``differences`` has the first ones.

    ``left_out`` names the tables and columns of a SQL view that only one generation has.
    """

    rows: int
    different: int
    differences: list[Difference]
    left_out: tuple[str, ...] = ()


class Tally:
    """Counts rows that were compared, and keeps the first differences."""

    def __init__(self) -> None:
        self._rows = 0
        self._different = 0
        self._first: list[Difference] = []

    def add(self, found: Sequence[Difference]) -> None:
        """A row, and what is different in it."""
        self._rows += 1
        if found:
            self._different += 1
            self._first += found[: MOST - len(self._first)]

    def comparison(self, left_out: Iterable[str] = ()) -> Comparison:
        """Of all that was added so far."""
        return Comparison(self._rows, self._different, self._first, tuple(left_out))
