"""What is wrong with a SQL projection is said at start, in a sentence."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Column, ForeignKey, Integer, MetaData, String, Table

from tests.projections.domain import Sent, events
from tests.projections.sqldomain import ParcelTable, cities, parcels
from whence.projections.ledger import ledger_of
from whence.projections.pending import Pending
from whence.projections.projection import on
from whence.projections.readmodel import ReadModel
from whence.sql import Sql, SqlProjection, open_database
from whence.store.errors import InvalidDomain, InvalidSetting, ViewInSql
from whence.store.eventstore import EventStore
from whence.store.recorded import Recorded

metadata = MetaData()
keyless = Table("keyless", metadata, Column("a", Integer))
pointing = Table(
    "pointing",
    metadata,
    Column("a", Integer, primary_key=True),
    Column("b", String, ForeignKey("keyless.a")),
)
reserved = Table("whence_orders", metadata, Column("a", Integer, primary_key=True))


@pytest.mark.parametrize(
    ("tables", "sentence"),
    [
        ([], "Wrong names no table"),
        ([keyless], "the table keyless of Wrong has no primary key"),
        ([pointing], "the table pointing of Wrong has a foreign key"),
        ([reserved], "begins with whence_"),
        (["orders"], "Wrong has 'orders' among its tables, which is none"),
        ([parcels, parcels], "two tables of one name"),
    ],
)
def test_a_table_that_cannot_be_a_view(tables: list[Any], sentence: str) -> None:
    class Wrong(SqlProjection, tables=tables):
        @on(Sent)
        def sent(self, event: Sent, record: Recorded, sql: Sql) -> None: ...

    with pytest.raises(InvalidDomain, match=sentence):
        ReadModel([Wrong], events)


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("views.db", "it has another form"),
        ("mysql://localhost/x", "mysql is no database that is known"),
        ("sqlite://", "a view in memory is gone"),
        ("sqlite:////no/such/folder/views.db", "there is no folder /no/such/folder"),
    ],
)
async def test_a_url_that_names_no_database(url: str, sentence: str) -> None:
    with pytest.raises(InvalidSetting, match=sentence):
        async with open_database(url):
            pass


async def test_a_file_that_is_no_database_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "views.db"
    file.write_text("a letter to a friend, and longer than a header of SQLite would have to be" * 9)
    before = file.read_bytes()
    with pytest.raises(Exception, match="file is not a database"):
        async with open_database(f"sqlite:///{file}"):
            pass
    assert file.read_bytes() == before


async def test_a_projection_that_was_not_told_its_database(store: EventStore) -> None:
    projection = ReadModel([ParcelTable], events).projector("parcel-table")
    with pytest.raises(InvalidSetting, match=r"parcel-table is kept in a SQL database.*--sql"):
        ledger_of(store, projection, store.address.wire())


def test_its_rows_are_not_read_from_redis() -> None:
    with pytest.raises(ViewInSql, match="ask it with SQL"):
        ReadModel([ParcelTable], events).projection("parcel-table")


def test_what_a_handler_asks_for_has_to_fit_the_table() -> None:
    sql: Any = ReadModel([ParcelTable], events).projector("parcel-table").operations()
    with pytest.raises(ValueError, match="parcels has no column town"):
        sql.put(parcels, {"id": "1", "town": "Riga"})
    with pytest.raises(ValueError, match="needs its key, id"):
        sql.put(parcels, {"city": "Riga"})
    with pytest.raises(ValueError, match="no part of the key of parcels can be None"):
        sql.put(parcels, {"id": None, "city": "Riga"})
    with pytest.raises(ValueError, match="is named by id, not id, city"):
        sql.delete(parcels, {"id": "1", "city": "Riga"})
    with pytest.raises(ValueError, match="other than its key, not id"):
        sql.update(parcels, {"id": "1"}, {"id": "2"})
    with pytest.raises(ValueError, match="no table of this projection, which has: parcels"):
        sql.put(cities, {"city": "Riga"})
    assert sql.operations == []


def test_what_is_asked_for_one_row_becomes_one_write() -> None:
    sql: Any = ReadModel([ParcelTable], events).projector("parcel-table").operations()
    sql.put(parcels, {"id": "1", "city": "Riga", "grams": 1})
    sql.update(parcels, {"id": "1"}, {"city": "Oslo"})
    sql.add(parcels, {"id": "1"}, {"grams": 4})
    pending = Pending()
    assert all(pending.take(operation) for operation in sql.operations)
    writes = pending.clear()[parcels]
    assert dict(writes.puts[("1",)]) == {"id": "1", "city": "Oslo", "grams": 5}
    assert not any((writes.adds, writes.updates, writes.deletes))


def test_keys_that_may_be_one_row_to_a_database_are_written_in_the_order_of_events() -> None:
    sql: Any = ReadModel([ParcelTable], events).projector("parcel-table").operations()
    sql.put(parcels, {"id": 1, "city": "Riga"})
    sql.put(parcels, {"id": 2, "city": "Riga"})
    sql.put(parcels, {"id": "1", "city": "Oslo"})
    first, second, other = sql.operations
    pending = Pending()
    assert pending.take(first)
    assert pending.take(second)
    assert not pending.take(other)
    pending.clear()
    assert pending.take(other)


def test_what_cannot_be_told_without_the_row_is_not_merged() -> None:
    sql: Any = ReadModel([ParcelTable], events).projector("parcel-table").operations()
    sql.update(parcels, {"id": "1"}, {"city": "Oslo"})
    sql.put(parcels, {"id": "1", "city": "Riga"})
    # The row that the first one makes has seen 1 from the table, and grams 3 from its start.
    sql.add(parcels, {"id": "2"}, {"delivered": 1}, start={"city": "Riga", "grams": 3})
    sql.add(parcels, {"id": "2"}, {"seen": 1}, start={"city": "Riga"})
    sql.add(parcels, {"id": "3"}, {"delivered": 1}, start={"city": "Riga", "grams": 3})
    sql.add(parcels, {"id": "3"}, {"grams": 1}, start={"city": "Riga"})
    for first, second in pairwise(sql.operations):
        if first.key == second.key:
            pending = Pending()
            assert pending.take(first)
            assert not pending.take(second)
