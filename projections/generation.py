"""The physical tables of a SQL view: one set for each generation, and a plain view of the live one.

A projection declares ``orders``. What is written are the tables of a generation, ``orders__1``;
what people read is ``CREATE VIEW orders AS SELECT ... FROM orders__1``. A rebuild beside the live
view is another generation: the same projection under the name ``order-list@2`` writes to
``orders__2`` and has checkpoints of its own, and ``switch`` lets the views show it, all tables in
one transaction.
``drop`` removes a generation that nobody needs any more, and remembers that: a worker that has not
heard of it must not make the tables anew.

Nothing else says which generation is live: the views do to readers, and whoever runs the
projection under a name knows which one that is.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Column, Connection, Executable, MetaData, Table, inspect, select
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.sql.visitors import replacement_traverse

from whence.projections import sqltables
from whence.projections.database import upsert
from whence.store.errors import NoGeneration, TableMismatch

_SEPARATOR = "@"
# Any number will do that nobody else locks by.
_LOCK = 7_734_611


def generation_of(name: str) -> int:
    """The generation that a projection of this name builds: 1 unless it says another one."""
    _, separator, number = name.partition(_SEPARATOR)
    return int(number) if separator else 1


class Generation:
    """The tables of one generation.

    Args:
        projection: the name under which it is built, as ``order-list`` or ``order-list@2``.
        declared: the tables of the projection as its class has them.
    """

    def __init__(self, projection: str, declared: Sequence[Table]) -> None:
        self.projection = projection
        self.declared = declared
        self._metadata = MetaData()
        suffix = f"__{generation_of(projection)}"
        self.physical = {table: _physical(table, self._metadata, suffix) for table in declared}

    def mapped(self, statement: Executable) -> Executable:
        """A statement on declared tables as one on those of this generation."""

        def replaced(element: Any, **_: Any) -> Any:
            if isinstance(element, Column) and element.table in tables:
                return tables[element.table].columns[element.key]
            return tables.get(element)

        tables: dict[Any, Table] = dict(self.physical)
        traverse: Callable[..., Any] = replacement_traverse
        mapped: Executable = traverse(statement, {}, replaced)
        return mapped

    def prepare(self, connection: Connection) -> bool:
        """Make what is missing; True if tables of this generation were, so that it begins anew.

        The view of a table is made with the first generation that has it, and left alone then.

        Raises:
            NoGeneration: it was dropped for good.
            TableMismatch: something else has a name that is needed, a table has other columns, or
                nobody knows which events its rows come from.
        """
        self._check_kept(connection)
        found = inspect(connection)
        tables, views = set(found.get_table_names()), set(found.get_view_names())
        for table in self.declared:
            if table.name in tables:
                raise TableMismatch(
                    self.projection,
                    table.name,
                    "has the name of a table that is there already and is not Whence's",
                    "rename one of them, or use another database",
                )
        missing = bool(self.missing(connection))
        if missing:
            self._remake(connection)
        else:
            self._check_ours(connection)
        for table in self.physical.values():
            why = self._other_columns(connection, table)
            if why:
                raise TableMismatch(self.projection, table.name, why, self._anew)
        for table in self.declared:
            if table.name not in views:
                self._show(connection, table)
        return missing

    def missing(self, connection: Connection) -> list[Table]:
        """The tables of this generation that are not in the database."""
        found = set(inspect(connection).get_table_names())
        return [table for table in self.physical.values() if table.name not in found]

    def _remake(self, connection: Connection) -> None:
        shown = self._shown(connection)
        for table in shown:
            connection.exec_driver_sql(f"DROP VIEW {_quoted(connection, table.name)}")
        self._metadata.drop_all(connection)
        self._metadata.create_all(connection)
        for table in shown:
            self._show(connection, table)

    def switch(self, connection: Connection) -> None:
        """Let the views of the declared names show this generation; all of them in a transaction.

        Who may read a view keeps that right where the database can replace it.
        """
        for table in self.declared:
            self._show(connection, table)

    def drop(self, connection: Connection, live: "Generation", *, for_good: bool) -> None:
        """Remove the tables of this generation; views that still show them show ``live`` then.

        ``for_good``: ``prepare`` refuses to make them anew.
        """
        absent = live.missing(connection)
        for table in self._shown(connection):
            if live.projection == self.projection or live.physical[table] in absent:
                connection.exec_driver_sql(f"DROP VIEW {_quoted(connection, table.name)}")
            else:
                live._show(connection, table)  # noqa: SLF001  # of the same class
        self._metadata.drop_all(connection)
        for table in sqltables.ours.tables.values():
            connection.execute(table.delete().where(table.c.projection == self.projection))
        if for_good:
            dropped = upsert(connection, sqltables.dropped).on_conflict_do_nothing()
            connection.execute(dropped, {"projection": self.projection})

    @property
    def _anew(self) -> str:
        return f"run `whence projections rebuild {self.projection.partition(_SEPARATOR)[0]}`"

    def _check_kept(self, connection: Connection) -> None:
        if self._stands_in(connection, sqltables.dropped):
            raise NoGeneration(self.projection, f"was dropped with its tables: {self._anew}")

    def _check_ours(self, connection: Connection) -> None:
        """Tables without a checkpoint have rows that would be applied once more."""
        if not self._stands_in(connection, sqltables.checkpoints):
            raise TableMismatch(
                self.projection,
                next(iter(self.physical.values())).name,
                "is there already, and no checkpoint says which events it has: another projection "
                "made it, or this one under another name",
                f"{self._anew}, or drop that table",
            )

    def _stands_in(self, connection: Connection, table: Table) -> bool:
        asked = select(table.c.projection).where(table.c.projection == self.projection).limit(1)
        return connection.execute(asked).first() is not None

    def _shown(self, connection: Connection) -> list[Table]:
        """The declared tables whose views show this generation."""
        found = inspect(connection)
        views = set(found.get_view_names())
        return [
            table
            for table in self.declared
            if table.name in views
            and _names(found.get_view_definition(table.name) or "", self.physical[table].name)
        ]

    def _show(self, connection: Connection, table: Table) -> None:
        name = _quoted(connection, table.name)
        source = _quoted(connection, self.physical[table].name)
        columns = ", ".join(_quoted(connection, column.name) for column in table.columns)
        body = f"VIEW {name} AS SELECT {columns} FROM {source}"  # noqa: S608  # names are quoted
        if connection.dialect.name == "postgresql":
            try:
                with connection.begin_nested():
                    connection.exec_driver_sql(f"CREATE OR REPLACE {body}")
            except ProgrammingError:  # it has other columns now
                pass
            else:
                return
        connection.exec_driver_sql(f"DROP VIEW IF EXISTS {name}")
        connection.exec_driver_sql(f"CREATE {body}")

    def _other_columns(self, connection: Connection, table: Table) -> str:
        """How the columns in the database differ from those of the class; empty if they do not."""
        found = {column["name"] for column in inspect(connection).get_columns(table.name)}
        wanted = {column.name for column in table.columns}
        if found == wanted:
            return ""
        return (
            f"has the columns {', '.join(sorted(found))}, where its class declares "
            f"{', '.join(sorted(wanted))}"
        )


def make_ours(connection: Connection) -> None:
    """Make Whence's own tables, and let nobody else make tables until the transaction ends."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")
    sqltables.ours.create_all(connection)


def _physical(table: Table, metadata: MetaData, suffix: str) -> Table:
    physical = table.to_metadata(metadata, name=f"{table.name}{suffix}")
    # Their names have to be unique among all tables; those that a column asks for are so already.
    named = {index.name for index in table.indexes}
    parts: list[Any] = [index for index in physical.indexes if index.name in named]
    for part in (*parts, *(c for c in physical.constraints if c.name is not None)):
        part.name = f"{part.name}{suffix}"
    return physical


def _names(definition: str, table: str) -> bool:
    """Whether a view is one of this table, and not of orders__12 where it is orders__1."""
    return re.search(rf"(?<!\w){re.escape(table)}(?!\w)", definition) is not None


def _quoted(connection: Connection, name: str) -> str:
    return connection.dialect.identifier_preparer.quote(name)
