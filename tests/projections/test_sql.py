"""What SQL views do, from the first row on."""

from tests.projections.domain import Delivered, Lost, Sent, Weighed, parcel, record, working
from tests.projections.sqldomain import city_table, model, parcel_table, rows
from whence.projections.status import wait_until_caught_up
from whence.sql import open_database
from whence.store.eventstore import EventStore

PARCELS = "SELECT id, city, grams, delivered, seen FROM parcels ORDER BY id"


async def test_an_event_becomes_a_row_that_plain_sql_finds(store: EventStore, sql_url: str) -> None:
    await record(store, parcel(1), Sent("Riga", 300))
    async with open_database(sql_url) as database, working(store, model.at(database)):
        await wait_until_caught_up(store, parcel_table)
        assert rows(sql_url, PARCELS) == [("1", "Riga", 300, 0, 1)]
        await record(store, parcel(1), Weighed(310), Lost(), Delivered())
        await wait_until_caught_up(store, parcel_table)
    assert rows(sql_url, PARCELS) == [("1", "Riga", 310, 1, 2)]


async def test_rows_that_come_from_several_partitions_are_summed_up(
    store: EventStore, sql_url: str
) -> None:
    async with open_database(sql_url) as database, working(store, model.at(database)):
        for n in range(30):
            await record(store, parcel(n), Sent("Riga" if n % 3 else "Oslo", 100))
        await wait_until_caught_up(store, city_table)
    found = rows(sql_url, "SELECT city, parcels, grams FROM cities ORDER BY city")
    assert found == [("Oslo", 10, 1_000), ("Riga", 20, 2_000)]
