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


class Shape(NamedTuple):
    """The names of a table's columns: those of its primary key, and all."""

    key: tuple[str, ...]
    names: frozenset[str]

    @classmethod
    def of(cls, table: Table) -> "Shape":
        return cls(
            tuple(column.key for column in table.primary_key), frozenset(table.columns.keys())
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
        shape = self._shape(table)
        _check_names(table, shape, values)
        self.operations.append(Put(table, _key(table, shape, values), values))

    def update(self, table: Table, key: Values, values: Values) -> None:
        """Set some columns of the row with this key; it must exist, or the event cannot be applied.

        For rows that may be there or not, and for several at once, use ``execute``.
        """
        shape = self._shape(table)
        _check_other(table, shape, values)
        self.operations.append(Update(table, _whole(table, shape, key), values))

    def add(self, table: Table, key: Values, amounts: Values, *, start: Values = _NOTHING) -> None:
        """Add to numbers of the row with this key; where it, or a number, is absent, from 0.

        For counts and sums over many aggregates: the order in which they come does not matter.
        ``start`` are other columns of a row that is made by it; it has to name those that may not
        be null and have no default, even where the row exists.
        """
        shape = self._shape(table)
        _check_other(table, shape, amounts)
        _check_names(table, shape, start)
        self.operations.append(Add(table, _whole(table, shape, key), amounts, start))

    def delete(self, table: Table, key: Values) -> None:
        """Remove the row with this key; without one, nothing happens."""
        shape = self._shape(table)
        self.operations.append(Delete(table, _whole(table, shape, key)))

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


def _key(table: Table, shape: Shape, values: Values) -> Key:
    try:
        key = tuple([values[name] for name in shape.key])
    except KeyError as error:
        raise ValueError(f"a row of {table.name} needs its key column {error.args[0]}") from None
    if None in key:
        raise ValueError(f"the key of a row of {table.name} cannot be None: {shown(dict(values))}")
    return key


def _whole(table: Table, shape: Shape, values: Values) -> Key:
    if len(values) != len(shape.key):
        raise ValueError(
            f"a row of {table.name} is named by {', '.join(shape.key)}, not {', '.join(values)}"
        )
    return _key(table, shape, values)


def _check_names(table: Table, shape: Shape, values: Values) -> None:
    if not values.keys() <= shape.names:
        strange = ", ".join(sorted(values.keys() - shape.names))
        raise ValueError(
            f"{table.name} has no column {strange}; it has: {', '.join(table.columns.keys())}"
        )


def _check_other(table: Table, shape: Shape, values: Values) -> None:
    _check_names(table, shape, values)
    if not values or any(name in values for name in shape.key):
        raise ValueError(
            f"name columns of {table.name} other than its key, not {', '.join(values) or 'none'}"
        )
