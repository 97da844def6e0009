"""The operations of many events as one write for each row, in a form that comes to the same."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NamedTuple

from sqlalchemy import Table

from whence.projections.sql import Add, Delete, Key, Put, RowOperation, Update

# Those of different types are left to the database, and what else it may know to add up.
_NUMBERS = (int, float, Decimal)


class Writes(NamedTuple):
    """What is to be done with the rows of one table, by key; a key is in one of them only."""

    puts: dict[Key, Mapping[str, Any]]
    adds: dict[Key, Add]
    updates: dict[Key, Mapping[str, Any]]
    deletes: dict[Key, None]


class _Rows(dict[Key, RowOperation]):
    """What is pending for the rows of one table, whose keys are of the types of the first one."""

    __slots__ = ("types",)

    def __init__(self, first: Key) -> None:
        super().__init__()
        self.types = tuple(map(type, first))


class Pending:
    """Row operations that are not written yet, at most one for each row."""

    def __init__(self) -> None:
        self._tables: dict[Table, _Rows] = {}

    def take(self, operation: RowOperation) -> bool:
        """Add an operation; False if what is pending has to be written before it."""
        key = operation.key
        rows = self._tables.get(operation.table)
        if rows is None:
            rows = self._tables[operation.table] = _Rows(key)
        before = rows.get(key)
        if before is None:
            # 1 and "1" are two keys, and may be one row: then the order of events is what counts.
            if type(key[0]) is not rows.types[0] or (
                len(key) > 1 and tuple(map(type, key)) != rows.types
            ):
                return False
        else:
            merged = _merged(before, operation)
            if merged is None:
                return False
            operation = merged
        rows[key] = operation
        return True

    def clear(self) -> dict[Table, Writes]:
        """Everything that is pending, by table; nothing is afterwards."""
        found: dict[Table, Writes] = {}
        for table, rows in self._tables.items():
            writes = found[table] = Writes({}, {}, {}, {})
            for key, operation in rows.items():
                match operation:
                    case Put():
                        writes.puts[key] = operation.values
                    case Add():
                        writes.adds[key] = operation
                    case Update():
                        writes.updates[key] = operation.values
                    case Delete():
                        writes.deletes[key] = None
        self._tables.clear()
        return found


def _merged(before: RowOperation, after: RowOperation) -> RowOperation | None:
    """One operation instead of two on the same row; None where there is none that does the same.

    An update needs its row, so what comes after one says nothing about whether it was there.
    """
    if type(after) is Update:  # most are, and `match` takes its time
        if type(before) is Put:
            return Put(before.table, before.key, {**before.values, **after.values})
        if type(before) is Update:
            return Update(before.table, before.key, {**before.values, **after.values})
    match before, after:
        case Put(), Add():
            values = _added(before.values, after.amounts)
            missing = after.amounts.keys() - before.values.keys()
            return None if values is None or missing else before._replace(values=values)
        case Add(), Add():
            amounts = None if _starts(before, after) else _added(before.amounts, after.amounts)
            return None if amounts is None else before._replace(amounts=amounts)
        case (Update(), _) | (_, Update()) | (Delete(), Add()):
            return None
        case _:  # a put or a delete does not care for what was there
            return after


def _starts(before: Add, after: Add) -> bool:
    """Whether a row that is made by the one begins with a number that the other one adds to."""
    columns = [before.table.columns[name] for name in after.amounts if name not in before.amounts]
    return any(
        column.key in before.start
        or column.default is not None
        or column.server_default is not None
        for column in columns
    )


def _added(values: Mapping[str, Any], amounts: Mapping[str, Any]) -> dict[str, Any] | None:
    """Values and amounts added up; None where only the database knows how."""
    sums = {**amounts, **values}
    for name, amount in amounts.items():
        value: Any = values.get(name)
        if name in values:
            if type(value) is not type(amount) or not isinstance(value, _NUMBERS):
                return None
            sums[name] = value + amount
    return sums
