"""What a team writes: a projection turns events into the rows of tables in a SQL database."""

from collections.abc import Sequence
from copy import copy
from typing import Any, ClassVar, Self, TypeGuard

from sqlalchemy import Table

from whence.projections.database import Database
from whence.projections.projection import Projector
from whence.projections.sql import Shape, recorder
from whence.store.errors import InvalidDomain, InvalidSetting, shown
from whence.store.registry import EventRegistry

_OURS = "whence_"
# PostgreSQL's names have 63 bytes, and a generation's number comes behind.
_LONGEST_NAME = 50


class SqlProjection(Projector):
    """The base class of projections on SQLite or PostgreSQL; the class line names its tables.

    ``class OrderTable(SqlProjection, tables=[orders]): ...`` with SQLAlchemy's ``Table``. Each
    table needs a primary key. Whence makes the tables, and views of these names that people read
    with plain SQL: see ``whence.projections.generation``.

    Name, failures, arguments and errors are those of ``Projector``.
    """

    tables: ClassVar[Sequence[Table]] = ()

    def __init_subclass__(cls, *, tables: Sequence[Table] | None = None, **config: Any) -> None:
        super().__init_subclass__(**config)
        if tables is not None:
            cls.tables = tuple(tables)

    def __init__(self, events: EventRegistry) -> None:
        self._database: Database | None = None
        _check_tables(type(self).__name__, self.tables)
        self.owned = [table.name for table in self.tables]
        self.operations = recorder({table: Shape(table) for table in self.tables})
        super().__init__(events)

    @property
    def database(self) -> Database:
        """Raises InvalidSetting: it was not told which."""
        if self._database is None:
            raise InvalidSetting(
                f"the projection {self.name} is kept in a SQL database, and none is given: use "
                "--sql, set WHENCE_SQL_URL, or give read_model.at(database) to the worker",
                field="sql",
            )
        return self._database

    def at(self, database: Database) -> Self:
        """The same projection, kept in this database."""
        found = copy(self)
        # What takes the operations is used by one projection at a time.
        found.__dict__.update(_database=database, _asked=self.operations())
        return found


def _check_tables(owner: str, tables: Sequence[object]) -> None:
    if not tables:
        raise InvalidDomain(
            f"{owner} names no table: class {owner}(SqlProjection, tables=[orders]), with "
            "sqlalchemy.Table"
        )
    names: list[str] = []
    for table in tables:
        if not _is_table(table):
            raise InvalidDomain(f"{owner} has {shown(table)} among its tables, which is none")
        names.append(table.name)
        wrong = _wrong(table)
        if wrong:
            raise InvalidDomain(f"the table {table.name} of {owner} {wrong}")
    if len(set(names)) < len(names):
        raise InvalidDomain(f"{owner} has two tables of one name: {', '.join(names)}")


def _is_table(found: object) -> TypeGuard[Table]:
    return isinstance(found, Table)


def _wrong(table: Table) -> str:
    """What a table has that a view cannot have; empty if nothing."""
    if not table.primary_key.columns:
        return "has no primary key: events change rows by their key, so it needs one"
    if table.foreign_keys:
        return (
            "has a foreign key: the events of different aggregates come in any order, so the row "
            "that it names may not be there yet; use a plain column with an index"
        )
    if table.schema is not None:
        return f"has the schema {table.schema}: choose one by the database's user or URL"
    if table.name.startswith(_OURS):
        return f"has a name that begins with {_OURS}: those are Whence's own"
    if len(table.name.encode()) > _LONGEST_NAME:
        return f"has a name of more than {_LONGEST_NAME} bytes"
    return ""
