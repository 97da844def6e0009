"""A statement for many rows, compiled once."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Delete, Dialect, Insert, Update
from sqlalchemy.sql.compiler import SQLCompiler

Write = Insert | Update | Delete
Row = Mapping[str, Any]
_Process = Callable[[Any], Any]


class Prepared:
    """A statement whose parameters are the same for every row.

    SQLAlchemy looks at the parameters of each row by itself, which on SQLite takes longer than
    writing them. So there they are bound here, by the types of their columns as it would. What has
    more to it, as a default that is made in Python, is left to SQLAlchemy, and so is PostgreSQL.

    Args:
        names: the parameters that every row gives.
    """

    def __init__(self, statement: Write, names: Sequence[str], dialect: Dialect) -> None:
        self._statement = statement
        compiled = statement.compile(dialect=dialect, column_keys=list(names))
        assert isinstance(compiled, SQLCompiler), "it is a statement"
        self._text = str(compiled)
        self._order = _order(compiled, names)
        self._processes: list[tuple[int, _Process]] = [
            (place, process)
            for place, name in enumerate(self._order)
            if (process := _process(compiled, name, dialect)) is not None
        ]

    def run(self, connection: Connection, rows: Sequence[Row]) -> int:
        """Run it for each row; returns how many rows of the table it has found or made.

        Raises:
            SQLAlchemyError, or what a driver raises: the database refuses something.
        """
        if not self._order:
            return connection.execute(self._statement, rows).rowcount
        try:
            bound = [self._bound(row) for row in rows]
        except Exception:  # whatever a type makes of a value: SQLAlchemy tells of which one
            return connection.execute(self._statement, rows).rowcount
        return connection.exec_driver_sql(self._text, bound).rowcount

    def _bound(self, row: Row) -> tuple[Any, ...]:
        values = [row[name] for name in self._order]
        for place, process in self._processes:
            values[place] = process(values[place])
        return tuple(values)


def _order(compiled: SQLCompiler, names: Sequence[str]) -> Sequence[str]:
    """The parameters as the statement has them; empty if binding them takes more than that."""
    order = compiled.positiontup or []
    more = compiled.prefetch or compiled.literal_execute_params or compiled.post_compile_params
    return () if more or sorted(order) != sorted(names) else order


def _process(compiled: SQLCompiler, name: str, dialect: Dialect) -> _Process | None:
    return compiled.binds[name].type.dialect_impl(dialect).bind_processor(dialect)
