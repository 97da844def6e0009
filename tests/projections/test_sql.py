"""What SQL views do, from the first row on."""

import pytest
from sqlalchemy import Column, Integer, MetaData, String, Table

from tests.projections.domain import (
    QUICK,
    Delivered,
    Lost,
    Sent,
    Weighed,
    parcel,
    record,
    working,
)
from tests.projections.sqldomain import city_table, model, only, parcel_table, rows
from whence.projections.projection import on
from whence.projections.rebuild import drop_previous, rebuild, rollback
from whence.projections.status import wait_until_caught_up
from whence.sql import Sql, SqlProjection, open_database
from whence.store.eventstore import EventStore
from whence.store.recorded import Recorded

PARCELS = "SELECT id, city, grams, delivered, seen FROM parcels ORDER BY id"


async def test_an_event_becomes_a_row_that_plain_sql_finds(store: EventStore, sql_url: str) -> None:
    await record(store, parcel(1), Sent("Riga", 300))
    async with open_database(sql_url) as database, working(store, model.at(database)):
        await wait_until_caught_up(store, parcel_table)
        assert rows(sql_url, PARCELS) == [("1", "Riga", 300, 0, 1)]
        await record(store, parcel(1), Weighed(310), Lost(), Delivered())
        await wait_until_caught_up(store, parcel_table)
    assert rows(sql_url, PARCELS) == [("1", "Riga", 310, 1, 2)]


numbered = Table(
    "numbered",
    MetaData(),
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("city", String(100)),
)


class Numbered(SqlProjection, tables=[numbered]):
    """Names the row of a parcel by a number and by a text."""

    @on(Sent)
    def sent(self, event: Sent, record: Recorded, sql: Sql) -> None:
        sql.put(numbered, {"id": int(record.id), "city": event.city})

    @on(Delivered)
    def delivered(self, event: Delivered, record: Recorded, sql: Sql) -> None:
        sql.put(numbered, {"id": record.id, "city": "delivered"})


async def test_a_row_that_is_named_in_two_ways_is_as_the_last_event_has_it(
    store: EventStore, sql_url: str
) -> None:
    await record(store, parcel(1), Sent("Riga"), Delivered())  # both are in one batch
    found = only(Numbered)
    async with open_database(sql_url) as database, working(store, found.at(database)):
        await wait_until_caught_up(store, found.projector("numbered"))
    assert rows(sql_url, "SELECT id, city FROM numbered") == [(1, "delivered")]


async def test_rows_that_come_from_several_partitions_are_summed_up(
    store: EventStore, sql_url: str
) -> None:
    async with open_database(sql_url) as database, working(store, model.at(database)):
        for n in range(30):
            await record(store, parcel(n), Sent("Riga" if n % 3 else "Oslo", 100))
        await wait_until_caught_up(store, city_table)
    found = rows(sql_url, "SELECT city, parcels, grams FROM cities ORDER BY city")
    assert found == [("Oslo", 10, 1_000), ("Riga", 20, 2_000)]


async def test_it_is_made_anew_beside_the_one_that_sql_reads_and_taken_back(
    store: EventStore, sql_url: str
) -> None:
    async with open_database(sql_url) as database:
        table = parcel_table.at(database)
        async with working(store, model.at(database)):
            await record(store, parcel(1), Sent("Riga", 300))
            await wait_until_caught_up(store, parcel_table)
            for generation in (2, 3):
                report = await rebuild(store, table, settings=QUICK)
                assert (report.generation, report.live) == (generation, True)
                await record(store, parcel(generation), Sent("Oslo", 5))
                await wait_until_caught_up(store, parcel_table)
                assert len(rows(sql_url, PARCELS)) == generation
                assert len(rows(sql_url, f"SELECT id FROM parcels__{generation}")) == generation
        await record(store, parcel(4), Sent("Oslo", 5))
        assert len(rows(sql_url, "SELECT id FROM parcels__2")) < 4
        await rollback(store, table, settings=QUICK)
        assert len(rows(sql_url, "SELECT id FROM parcels__2")) == 4
        assert len(rows(sql_url, PARCELS)) == 4
        await drop_previous(store, table)
        assert len(rows(sql_url, PARCELS)) == 4
    with pytest.raises(Exception, match="parcels__3"):
        rows(sql_url, "SELECT id FROM parcels__3")
