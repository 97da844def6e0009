"""Writing to the tables of a SQL view: one upsert, update or delete for many rows at once."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, bindparam, func, literal_column

from whence.projections.batch import Step
from whence.projections.database import Upsert, upsert
from whence.projections.generation import Generation
from whence.projections.pending import Pending, Writes
from whence.projections.sql import Add, Execute, Key
from whence.projections.sqlprepared import Prepared, Row, Write
from whence.store.errors import InvalidRow

# In front of a key column's name where a statement sets columns as well.
_KEY = "whence_key_"

# Written out, so that each parameter of a statement is one of the row.
_ZERO: ColumnElement[Any] = literal_column("0")

Rows = Mapping[Key, Row]


class SqlWriter:
    """Applies the operations of events, in an order that comes to the same as theirs."""

    def __init__(self, generation: Generation) -> None:
        self._generation = generation
        self._tables = {
            table: _Statements(generation.projection, physical)
            for table, physical in generation.physical.items()
        }

    def write(self, connection: Connection, steps: Iterable[Step]) -> None:
        """Apply all of them: what is asked of one row becomes one write, as far as it goes.

        Raises:
            InvalidRow: a row that an update needs is not there.
            SQLAlchemyError, or what a driver raises: the database refuses something.
        """
        pending = Pending()
        for step in steps:
            for operation in step.operations:
                if isinstance(operation, Execute):
                    self._flush(connection, pending)
                    statement = self._generation.mapped(operation.statement)
                    connection.execute(statement, operation.parameters or {})
                elif not pending.take(operation):
                    self._flush(connection, pending)
                    pending.take(operation)
        self._flush(connection, pending)

    def _flush(self, connection: Connection, pending: Pending) -> None:
        # In one order for all workers, as the rows are: or two of them could wait for each other.
        for table, writes in sorted(pending.clear().items(), key=_name):
            self._tables[table].write(connection, writes)


class _Statements:
    """The writes to one table."""

    def __init__(self, projection: str, table: Table) -> None:
        self._projection = projection
        self._table = table
        self._key = [column.key for column in table.primary_key]
        self._where = [column == bindparam(_KEY + column.key) for column in table.primary_key]
        self._delete = table.delete().where(*self._where)
        self._update = table.update().where(*self._where)
        # By what they do, and the columns that the rows have: handlers name the same ones again.
        self._prepared: dict[tuple[str, frozenset[str]], Prepared] = {}

    def write(self, connection: Connection, writes: Writes) -> None:
        if writes.deletes:
            keys = [self._named(key) for key in _sorted(writes.deletes)]
            self._run(connection, "delete", lambda: self._delete, keys)
        for keyed in _alike(writes.puts):
            rows = [row for _, row in keyed]
            self._run(connection, "put", lambda: self._put(connection), rows)
        self._add(connection, writes.adds)
        for keyed in _alike(writes.updates):
            self._change(connection, keyed)

    def _run(
        self, connection: Connection, kind: str, make: Callable[[], Write], rows: Sequence[Row]
    ) -> int:
        """Run a statement for rows with the same columns; returns how many it has found or made."""
        names = frozenset(rows[0])
        prepared = self._prepared.get((kind, names))
        if prepared is None:
            prepared = Prepared(make(), list(names), connection.dialect)
            self._prepared[kind, names] = prepared
        return prepared.run(connection, rows)

    def _put(self, connection: Connection) -> Upsert:
        """Sets the whole row: columns that are not given get the table's default."""
        insert = upsert(connection, self._table)
        kept = [c for c in self._table.columns if not c.primary_key and c.computed is None]
        if not kept:
            return insert.on_conflict_do_nothing(index_elements=self._key_columns())
        return insert.on_conflict_do_update(
            index_elements=self._key_columns(),
            set_={column.key: insert.excluded[column.key] for column in kept},
        )

    def _add(self, connection: Connection, adds: Mapping[Key, Add]) -> None:
        by_columns: dict[frozenset[str], dict[Key, Row]] = {}
        for key, add in adds.items():
            row = {**dict(zip(self._key, key, strict=True)), **add.start, **add.amounts}
            by_columns.setdefault(frozenset(add.amounts), {})[key] = row
        for columns, rows in by_columns.items():
            kind = f"add to {','.join(sorted(columns))}"
            for keyed in _alike(rows):
                alike = [row for _, row in keyed]
                self._run(connection, kind, partial(self._sum, connection, columns), alike)

    def _sum(self, connection: Connection, columns: Iterable[str]) -> Upsert:
        """Adds to these columns, from 0 where there is nothing."""
        insert = upsert(connection, self._table)
        return insert.on_conflict_do_update(
            index_elements=self._key_columns(),
            set_={
                name: func.coalesce(self._table.columns[name], _ZERO) + insert.excluded[name]
                for name in sorted(columns)
            },
        )

    def _change(self, connection: Connection, keyed: Sequence[tuple[Key, Row]]) -> None:
        rows = [{**self._named(key), **row} for key, row in keyed]
        found = self._run(connection, "update", lambda: self._update, rows)
        if found != len(rows):
            raise InvalidRow(
                self._projection,
                str(keyed[0][0]),
                f"an update needs the row in {self._table.name}, and it is not there",
            )

    def _named(self, key: Key) -> dict[str, Any]:
        return {_KEY + name: value for name, value in zip(self._key, key, strict=True)}

    def _key_columns(self) -> list[Any]:
        return list(self._table.primary_key)


def _name(found: tuple[Table, Writes]) -> str:
    return found[0].name


def _sorted(keys: Iterable[Key]) -> list[Key]:
    """In one order for all workers: so two of them never wait for each other's rows."""
    return sorted(keys, key=repr)


def _alike(rows: Rows) -> list[list[tuple[Key, Row]]]:
    """Rows with the same columns together, for a statement each."""
    found: dict[frozenset[str], list[tuple[Key, Row]]] = {}
    for key in _sorted(rows):
        row = rows[key]
        found.setdefault(frozenset(row), []).append((key, row))
    return list(found.values())
