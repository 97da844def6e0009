"""A table of a SQL view, as two generations have it."""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Any

import msgspec
from sqlalchemy import (
    ColumnClause,
    ColumnElement,
    Connection,
    CursorResult,
    Executable,
    TableClause,
    and_,
    column,
    inspect,
    select,
    table,
)
from sqlalchemy.exc import DBAPIError, NoSuchTableError

from whence.projections.comparison import Difference
from whence.projections.database import Snapshot
from whence.store.errors import TableMismatch

# Rows per read.
_PAGE = 500
_ONLY_NEW = "which only the new one has"
_ONLY_LIVE = "which only the live one has"
_STREAMED = {"stream_results": True, "max_row_buffer": _PAGE}

Values = Sequence[Any]
Judge = Callable[[Values], list[Difference]]


class TablePair:
    """Compares the rows of both by their primary key, and the columns that both have.

    The database puts them side by side, for the order of its keys is its own: a collation of
    PostgreSQL is not the order of Python.

    Args:
        name, key: of the table as the code declares it.
        before, after: the names of the physical ones.
    """

    def __init__(self, name: str, key: Sequence[str], before: str, after: str) -> None:
        self._name = name
        self._key = tuple(key)
        self._before = before
        self._after = after
        self._fields: tuple[str, ...] = ()
        self.left_out: list[str] = []

    async def compare(self, snapshot: Snapshot) -> AsyncGenerator[list[list[Difference]]]:
        """What is different in each row of either, page by page.

        Sets ``left_out``: what only one of them has. A table that the generation before does not
        have at all is left out, too.

        Raises:
            TableMismatch: their rows cannot be put side by side.
            DatabaseUnavailable: the database does not answer.
        """
        if not await snapshot.read(self._look):
            return
        for statement, judge in self._both():
            async with aclosing(_read(snapshot, statement, judge)) as pages:
                try:
                    async for page in pages:
                        yield page
                except DBAPIError as error:
                    raise self._mismatch(str(error.orig).partition("\n")[0]) from error

    def _look(self, connection: Connection) -> bool:
        """Which columns there are; False if there is nothing to compare."""
        before = _columns(connection, self._before)
        after = _columns(connection, self._after)
        if not before:
            self.left_out = [f"{self._name}, {_ONLY_NEW}"]
            return False
        absent = [name for name in self._key if name not in before or name not in after]
        if absent:
            raise self._mismatch(f"only one of them has {', '.join(absent)}, of the primary key")
        self._fields = tuple(n for n in after if n in before and n not in self._key)
        self.left_out = [
            *(f"{self._name}.{name}, {_ONLY_NEW}" for name in after if name not in before),
            *(f"{self._name}.{name}, {_ONLY_LIVE}" for name in before if name not in after),
        ]
        return True

    def _both(self) -> list[tuple[Executable, Judge]]:
        """All rows from before beside those of after; then the rows that only after has."""
        names = (*self._key, *self._fields)
        before, after = _table(self._before, names), _table(self._after, names)
        same = and_(*(before.c[name] == after.c[name] for name in self._key))
        all_before = (
            select(*_numbered([*before.c, *after.c]))
            .select_from(before.outerjoin(after, same))
            .order_by(*(before.c[name] for name in self._key))
        )
        only_after = (
            select(*_numbered(list(after.c)))
            .select_from(after.outerjoin(before, same))
            .where(before.c[self._key[0]].is_(None))
            .order_by(*(after.c[name] for name in self._key))
        )
        return [(all_before, self._pair), (only_after, self._new)]

    def _pair(self, row: Values) -> list[Difference]:
        width = len(self._key) + len(self._fields)
        before, after = row[:width], row[width:]
        if after[0] is None:
            return [self._difference(before, "", self._row(before), None)]
        return [
            self._difference(before, name, _json(old), _json(new))
            for name, old, new in zip((*self._key, *self._fields), before, after, strict=True)
            if old != new and name not in self._key
        ]

    def _new(self, row: Values) -> list[Difference]:
        return [self._difference(row, "", None, self._row(row))]

    def _difference(self, row: Values, field: str, before: Any, after: Any) -> Difference:
        key = ", ".join(str(part) for part in row[: len(self._key)])
        return Difference(key, field, before, after, self._name)

    def _row(self, row: Values) -> dict[str, Any]:
        return {name: _json(v) for name, v in zip((*self._key, *self._fields), row, strict=True)}

    def _mismatch(self, why: str) -> TableMismatch:
        return TableMismatch(
            self._after,
            self._name,
            f"cannot be compared with {self._before}: {why}",
            "compare them with SQL, then rebuild without --verify",
        )


async def _read(
    snapshot: Snapshot, statement: Executable, judge: Judge
) -> AsyncGenerator[list[list[Difference]]]:
    """What is found in each row of the answer, page by page."""

    def begin(connection: Connection) -> CursorResult[Any]:
        return connection.execute(statement, execution_options=_STREAMED)

    rows = await snapshot.read(begin)

    def read(_: Connection) -> list[list[Difference]]:
        return [judge(row) for row in rows.fetchmany(_PAGE)]

    while page := await snapshot.read(read):
        yield page


def _table(name: str, columns: Sequence[str]) -> TableClause:
    found: list[ColumnClause[Any]] = [column(each) for each in columns]
    return table(name, *found)


def _numbered(columns: Sequence[ColumnElement[Any]]) -> list[Any]:
    """Two tables have columns of one name."""
    return [found.label(f"c{number}") for number, found in enumerate(columns)]


def _columns(connection: Connection, name: str) -> list[str]:
    """Empty if there is no such table."""
    try:
        return [found["name"] for found in inspect(connection).get_columns(name)]
    except NoSuchTableError:
        return []


def _json(value: Any) -> Any:
    return msgspec.to_builtins(value, enc_hook=str)
