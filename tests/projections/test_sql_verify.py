"""Two generations of a SQL view compared, table by table, also under writes."""

from typing import Any

import pytest
from sqlalchemy import Column, Integer, MetaData, String, Table, create_engine, text

from tests.projections.domain import (
    QUICK,
    Lost,
    Sent,
    Weighed,
    events,
    parcel,
    record,
    record_many,
    working,
)
from tests.projections.sqldomain import cities, metadata, model, only, parcels, rows
from tests.projections.stored import writing
from whence.projections.comparison import MOST, Comparison, Difference
from whence.projections.database import Database, parse_url
from whence.projections.generations import generations
from whence.projections.projection import Projector, on
from whence.projections.readmodel import ReadModel
from whence.projections.rebuild import RebuildReport, rebuild
from whence.projections.status import wait_until_caught_up
from whence.projections.succession import Succession
from whence.projections.verify import compare
from whence.sql import Sql, SqlProjection, open_database
from whence.store.errors import TableMismatch, ViewBehind
from whence.store.eventstore import EventStore
from whence.store.recorded import Recorded

visits = Table(
    "visits",
    metadata,
    Column("city", String(100), primary_key=True),
    Column("id", String(100), primary_key=True),
    Column("times", Integer),
)


class Post(SqlProjection, tables=[parcels, visits]):
    """Two tables, one of them with a key of two columns."""

    @on(Sent)
    def sent(self, event: Sent, record: Recorded, sql: Sql) -> None:
        sql.put(parcels, {"id": record.id, "city": event.city, "grams": event.grams})
        sql.add(visits, {"city": event.city, "id": record.id}, {"times": 1})

    @on(Weighed)
    def weighed(self, event: Weighed, record: Recorded, sql: Sql) -> None:
        sql.update(parcels, {"id": record.id}, {"grams": event.grams})


post = only(Post).projector("post")
later = MetaData()
# As a release after this one declares it.
longer = Table(
    "parcels",
    later,
    Column("id", String(100), primary_key=True),
    Column("city", String(100)),
    Column("weight", Integer),
)


class Longer(SqlProjection, name="post", version=2, tables=[longer, cities]):
    """Other columns, another table, and each city in capitals if so wanted."""

    @on(Sent)
    def sent(self, event: Sent, record: Recorded, sql: Sql) -> None:
        sql.put(longer, {"id": record.id, "city": event.city, "weight": event.grams})
        sql.add(cities, {"city": event.city}, {"parcels": 1})


newer = only(Longer).projector("post")


def change(url: str, *statements: str) -> None:
    """As somebody would who writes to tables that are not theirs."""
    engine = create_engine(parse_url(url))
    try:
        with engine.begin() as connection:
            for statement in statements:
                connection.execute(text(statement))
    finally:
        engine.dispose()


async def some_history(store: EventStore, database: Database, count: int = 50) -> None:
    await record_many(store, [parcel(n) for n in range(count)], Sent("Riga", 10))
    async with working(store, only(Post).at(database)):
        await wait_until_caught_up(store, post)


async def verified(
    store: EventStore, projection: Projector, *, same_code: bool = True
) -> tuple[RebuildReport, Comparison]:
    """A rebuild as the command with --verify does it."""
    found: list[Comparison] = []

    async def agree(old: Projector, new: Projector) -> bool:
        found.append(await compare(store, old, new, same_code=same_code, settings=QUICK))
        return not found[-1].different

    report = await rebuild(store, projection, check=agree, settings=QUICK)
    return report, found[0]


async def test_tables_that_agree_are_switched(store: EventStore, sql_url: str) -> None:
    async with open_database(sql_url) as database:
        await some_history(store, database)
        report, found = await verified(store, post.at(database))
    assert found == Comparison(100, 0, [])
    assert (report.generation, report.live) == (2, True)


async def test_an_empty_view_agrees(store: EventStore, sql_url: str) -> None:
    async with open_database(sql_url) as database:
        await record(store, parcel(1), Lost())
        async with working(store, only(Post).at(database)):
            await wait_until_caught_up(store, post)
        report, found = await verified(store, post.at(database))
    assert (found, report.live) == (Comparison(0, 0, []), True)


async def test_a_view_that_nobody_has_begun_has_nothing_to_compare(
    store: EventStore, sql_url: str
) -> None:
    async with open_database(sql_url) as database:
        report, found = await verified(store, post.at(database))
    assert report.live
    assert found.left_out == (
        "parcels, which only the new one has",
        "visits, which only the new one has",
    )


async def test_what_was_planted_is_found_and_nothing_is_switched(
    store: EventStore, sql_url: str
) -> None:
    async with open_database(sql_url) as database:
        await some_history(store, database)
        change(
            sql_url,
            "UPDATE parcels__1 SET grams = 7 WHERE id = '1'",
            "DELETE FROM visits__1 WHERE id = '2'",
            "INSERT INTO visits__1 (city, id, times) VALUES ('Oslo', '3', 1)",
            "UPDATE parcels__1 SET grams = NULL WHERE id = '4'",
        )
        report, found = await verified(store, post.at(database))
        assert (found.rows, found.different) == (101, 4)
        assert found.differences == [
            Difference("1", "grams", 7, 10, "parcels"),
            Difference("4", "grams", None, 10, "parcels"),
            Difference("Oslo, 3", "", {"city": "Oslo", "id": "3", "times": 1}, None, "visits"),
            Difference("Riga, 2", "", None, {"city": "Riga", "id": "2", "times": 1}, "visits"),
        ]
        assert not report.live
        assert (await generations(store, post)).live == 1
        assert rows(sql_url, "SELECT grams FROM parcels WHERE id = '1'") == [(7,)]
        # Another answer is a matter of the tables, not of what was found before.
        assert (await rebuild(store, post.at(database), settings=QUICK)).live
        assert rows(sql_url, "SELECT grams FROM parcels WHERE id = '1'") == [(10,)]


async def test_many_differences_on_many_pages_are_counted(store: EventStore, sql_url: str) -> None:
    async with open_database(sql_url) as database:
        await some_history(store, database, 1_100)
        change(sql_url, "UPDATE parcels__1 SET grams = 7", "DELETE FROM visits__1")
        _, found = await verified(store, post.at(database))
    assert (found.rows, found.different, len(found.differences)) == (2_200, 2_200, MOST)


async def test_it_is_right_while_workers_move_both(store: EventStore, sql_url: str) -> None:
    async with open_database(sql_url) as database:
        await some_history(store, database)
        table = post.at(database)
        number, _ = await Succession(store, table).begin("person")
        old, new = table.generation(1), table.generation(number)
        async with working(store, only(Post).at(database)), writing(store):
            for _ in range(3):
                found = await compare(store, old, new, same_code=True, settings=QUICK)
                assert found == Comparison(100, 0, [])
            await wait_until_caught_up(store, new)


async def test_only_what_both_have_is_compared_and_the_rest_is_named(
    store: EventStore, sql_url: str
) -> None:
    """The live tables are those of other code, and stay as they are."""
    async with open_database(sql_url) as database:
        await some_history(store, database)
        change(sql_url, "UPDATE parcels__1 SET city = 'Oslo' WHERE id = '1'")
        report, found = await verified(store, newer.at(database), same_code=False)
        assert len(rows(sql_url, "SELECT id, grams FROM parcels")) == 50
        again = await rebuild(store, newer.at(database), settings=QUICK)
        assert len(rows(sql_url, "SELECT id, grams FROM parcels__1")) == 50
        assert rows(sql_url, "SELECT parcels FROM cities") == [(50,)]
    assert not report.live
    assert again.live
    assert (found.rows, found.differences) == (
        50,
        [Difference("1", "city", "Oslo", "Riga", "parcels")],
    )
    assert set(found.left_out) == {
        "parcels.weight, which only the new one has",
        "parcels.grams, which only the live one has",
        "parcels.delivered, which only the live one has",
        "parcels.seen, which only the live one has",
        "cities, which only the new one has",
    }


async def test_a_live_one_of_other_code_without_a_worker_is_said(
    store: EventStore, sql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("whence.projections.sqlverify._PATIENCE", 0.2)
    async with open_database(sql_url) as database:
        await some_history(store, database)
        await record(store, parcel(1), Weighed(11))
        with pytest.raises(ViewBehind, match="is a worker running"):
            await verified(store, newer.at(database), same_code=False)
        assert (await generations(store, post)).live == 1


async def test_rows_with_another_key_cannot_be_compared(store: EventStore, sql_url: str) -> None:
    other = Table("parcels", MetaData(), Column("number", String(100), primary_key=True))

    class Numbers(SqlProjection, name="post", version=3, tables=[other]):
        @on(Sent)
        def sent(self, event: Sent, record: Recorded, sql: Sql) -> None:
            sql.put(other, {"number": record.id})

    async with open_database(sql_url) as database:
        await some_history(store, database)
        numbers: Any = ReadModel([Numbers], events).projector("post").at(database)
        with pytest.raises(TableMismatch, match="only one of them has number"):
            await verified(store, numbers, same_code=False)


async def test_a_sum_over_partitions_agrees(store: EventStore, sql_url: str) -> None:
    async with open_database(sql_url) as database:
        await record_many(store, [parcel(n) for n in range(30)], Sent("Riga", 10))
        async with working(store, model.at(database)):
            await wait_until_caught_up(store, model.projector("city-table"))
        _, found = await verified(store, model.at(database).projector("city-table"))
    assert found == Comparison(1, 0, [])
