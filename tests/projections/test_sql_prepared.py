"""What prepared statements write to SQLite is what SQLAlchemy would write."""

import enum
import uuid
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Connection,
    Date,
    DateTime,
    Dialect,
    Enum,
    Float,
    Integer,
    Interval,
    LargeBinary,
    MetaData,
    Numeric,
    String,
    Table,
    Time,
    TypeDecorator,
    Uuid,
)
from sqlalchemy.exc import DBAPIError, StatementError

from whence.projections.database import Database, parse_url, upsert
from whence.projections.sqlprepared import Prepared


class Colour(enum.Enum):
    RED = "r"
    BLUE = "b"


class Shouted(TypeDecorator[str]):
    impl = String
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else value.upper()


things = Table(
    "things",
    MetaData(),
    Column("id", Integer, primary_key=True),
    Column("text", String(20)),
    Column("real", Float),
    Column("money", Numeric(10, 2, asdecimal=False)),
    Column("yes", Boolean),
    Column("day", Date),
    Column("moment", DateTime),
    Column("at", Time),
    Column("span", Interval),
    Column("document", JSON),
    Column("data", LargeBinary),
    Column("colour", Enum(Colour)),
    Column("name", Uuid),
    Column("loud", Shouted),
    Column("odd name", String(20), key="odd"),
    Column("made", String(20), default=lambda: "in Python"),
    Column("base", String(20), server_default="by the database"),
)

FULL: dict[str, Any] = {
    "id": 1,
    "text": "Ünïcode",
    "real": 0.1,
    "money": 12.5,
    "yes": True,
    "day": date(2026, 2, 28),
    "moment": datetime(2026, 2, 28, 12, 30, 1, 5, tzinfo=UTC),
    "at": time(1, 2, 3),
    "span": timedelta(days=2, seconds=5),
    "document": {"a": [1, None, "ü"]},
    "data": b"\x00\xff",
    "colour": Colour.BLUE,
    "name": uuid.UUID(int=7),
    "loud": "hello",
    "odd": "'; --",
    "made": "here",
}
EMPTY = {**dict.fromkeys(FULL), "id": 2}


@pytest.fixture
def connection(sqlite_url: str) -> Iterator[Connection]:
    database = Database(parse_url(sqlite_url))
    with database.engine.connect() as connection, connection.begin():
        things.create(connection)
        yield connection
    database.close()


def stored(connection: Connection) -> Sequence[Sequence[object]]:
    """As the database has it, whatever SQLAlchemy would make of it when it is read."""
    rows = connection.exec_driver_sql('SELECT * FROM things ORDER BY "id"').all()
    connection.execute(things.delete())
    return [tuple(row) for row in rows]


@pytest.mark.parametrize("rows", [[FULL], [FULL, EMPTY], [EMPTY]])
def test_values_of_every_type_are_bound_as_by_sqlalchemy(
    connection: Connection, rows: list[dict[str, Any]]
) -> None:
    connection.execute(upsert(connection, things), rows)
    expected = stored(connection)

    found = Prepared(upsert(connection, things), list(FULL), connection.dialect).run(
        connection, rows
    )

    assert found == len(rows)
    assert stored(connection) == expected


def test_what_the_table_gives_by_itself_is_given(connection: Connection) -> None:
    rows = [{"id": 1, "text": "a"}, {"id": 2, "text": "b"}]
    connection.execute(upsert(connection, things), rows)
    expected = stored(connection)

    Prepared(upsert(connection, things), ["id", "text"], connection.dialect).run(connection, rows)

    assert stored(connection) == expected
    assert [row[-2:] for row in expected] == [("in Python", "by the database")] * 2


@pytest.mark.parametrize("wrong", [{"moment": "yesterday"}, {"day": "tomorrow"}, {"document": {1}}])
def test_a_value_that_does_not_fit_is_told_as_by_sqlalchemy(
    connection: Connection, wrong: dict[str, Any]
) -> None:
    rows = [FULL, {**FULL, "id": 2, **wrong}]
    with pytest.raises(StatementError) as expected, connection.begin_nested():
        connection.execute(upsert(connection, things), rows)

    prepared = Prepared(upsert(connection, things), list(FULL), connection.dialect)
    with pytest.raises(StatementError) as found, connection.begin_nested():
        prepared.run(connection, rows)

    assert str(found.value.orig) == str(expected.value.orig)
    assert stored(connection) == []


def test_a_value_that_the_database_refuses_is_its_error(connection: Connection) -> None:
    prepared = Prepared(things.insert(), list(FULL), connection.dialect)
    with pytest.raises(DBAPIError), connection.begin_nested():
        prepared.run(connection, [FULL, FULL])
    assert stored(connection) == []


def test_it_tells_how_many_rows_it_has_found(connection: Connection) -> None:
    Prepared(things.insert(), ["id"], connection.dialect).run(connection, [{"id": 1}, {"id": 2}])
    change = things.update().where(things.c.id == things.c.id).values(money=Decimal(1))
    assert Prepared(change, [], connection.dialect).run(connection, [{}]) == 2
