"""What a handler asks of a SQL view: operations on rows and statements, applied later."""

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

from sqlalchemy import Executable, Table

from whence.projections.views import Operations
from whence.store.errors import shown

# The values of a row's primary key, in the order of its columns.
Key = tuple[Any, ...]
Values = Mapping[str, Any]
_NOTHING: Values = MappingProxyType({})


class Put(NamedTuple):
    table: Table
    key: Key
    values: Values


class Update(NamedTuple):
    table: Table
    key: Key
    values: Values


class Add(NamedTuple):
    table: Table
    key: Key
    amounts: Values
    start: Values


class Delete(NamedTuple):
    table: Table
    key: Key


class Execute(NamedTuple):
    statement: Executable
    parameters: Values | None


RowOperation = Put | Update | Add | Delete
SqlOperation = RowOperation | Execute


class Shape:
    """The columns of a table, and which of them a handler may name where.

    A handler names the same columns again and again, so each set of them is examined once.
    """

    def __init__(self, table: Table) -> None:
        self._table = table
        self._key = [column.key for column in table.primary_key]
        self._names = frozenset(table.columns.keys())
        self._rows: set[tuple[str, ...]] = set()
        self._keys: set[tuple[str, ...]] = set()
        self._others: set[tuple[str, ...]] = set()

    def key_of_row(self, values: Values) -> Key:
        """The key in the values of a row. Raises ValueError, as all here."""
        names = tuple(values)
        if names not in self._rows:
            self._check_known(values)
            missing = [name for name in self._key if name not in values]
            if missing:
                raise ValueError(f"a row of {self._table.name} needs its key, {missing[0]}")
            self._rows.add(names)
        return self._values(values)

    def key(self, values: Values) -> Key:
        """The key that these values are, no more and no less."""
        names = tuple(values)
        if names not in self._keys:
            if set(values) != set(self._key):
                raise ValueError(
                    f"a row of {self._table.name} is named by {', '.join(self._key)}, not "
                    f"{', '.join(values) or 'nothing'}"
                )
            self._keys.add(names)
        return self._values(values)

    def check_other(self, values: Values) -> None:
        """These are columns beside the key."""
        names = tuple(values)
        if names in self._others:
            return
        self._check_known(values)
        if not values or not values.keys().isdisjoint(self._key):
            raise ValueError(
                f"name columns of {self._table.name} other than its key, not "
                f"{', '.join(values) or 'none'}"
            )
        self._others.add(names)

    def _values(self, values: Values) -> Key:
        key = tuple(map(values.__getitem__, self._key))
        if None in key:
            raise ValueError(f"no part of the key of {self._table.name} can be None")
        return key

    def _check_known(self, values: Values) -> None:
        if not values.keys() <= self._names:
            strange = ", ".join(sorted(values.keys() - self._names))
            raise ValueError(
                f"{self._table.name} has no column {strange}; it has: "
                f"{', '.join(self._table.columns.keys())}"
            )


class Sql(Operations[SqlOperation]):
    """The tables of a projection, as the handler of one event may change them.

    Nothing is read or written here: the worker applies the operations in order, and commits them
    together with the position of the event, so each takes effect exactly once. Rows are named by
    their whole primary key. The order of operations on different rows may become another one, where
    the rows come out the same.

    Each method raises ValueError for a table that is not the projection's, for columns that the
    table does not have, and for a key that is not whole.
    """

    __slots__ = ("_shapes",)

    def __init__(self, shapes: Mapping[Table, Shape]) -> None:
        self.operations = []
        self._shapes = shapes

    def put(self, table: Table, values: Values) -> None:
        """Set the row with the primary key in ``values``, whatever was there.

        Columns without a value get the default of the table.
        """
        key = self._shape(table).key_of_row(values)
        self.operations.append(Put(table, key, values))

    def update(self, table: Table, key: Values, values: Values) -> None:
        """Set some columns of the row with this key; it must exist, or the event cannot be applied.

        For rows that may be there or not, and for several at once, use ``execute``.
        """
        shape = self._shape(table)
        shape.check_other(values)
        self.operations.append(Update(table, shape.key(key), values))

    def add(self, table: Table, key: Values, amounts: Values, *, start: Values = _NOTHING) -> None:
        """Add to numbers of the row with this key; where it, or a number, is absent, from 0.

        For counts and sums over many aggregates: the order in which they come does not matter.
        ``start`` are other columns of a row that is made by it; it has to name those that may not
        be null and have no default, even where the row exists.
        """
        shape = self._shape(table)
        shape.check_other(amounts)
        if start:
            shape.check_other(start)
        self.operations.append(Add(table, shape.key(key), amounts, start))

    def delete(self, table: Table, key: Values) -> None:
        """Remove the row with this key; without one, nothing happens."""
        self.operations.append(Delete(table, self._shape(table).key(key)))

    def execute(self, statement: Executable, parameters: Values | None = None) -> None:
        """Run an insert, update or delete of SQLAlchemy Core on tables of the projection.

        It is run between what was asked for before and what is afterwards, one by one, so it costs
        many times a row's operation.
        """
        self.operations.append(Execute(statement, parameters))

    def _shape(self, table: Table) -> Shape:
        try:
            return self._shapes[table]
        except KeyError:
            names = ", ".join(found.name for found in self._shapes)
            raise ValueError(
                f"{shown(table)} is no table of this projection, which has: {names}"
            ) from None


def recorder(shapes: Mapping[Table, Shape]) -> partial[Sql]:
    """Makes an ``Sql`` for each event."""
    return partial(Sql, shapes)
