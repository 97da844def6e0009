"""Views of many aggregates are the same on Redis, SQLite and PostgreSQL, and made anew."""

from collections import Counter

from tests.projections.domain import (
    Sent,
    Weighed,
    cities,
    parcel,
    record,
    record_many,
    view_of,
    working,
)
from tests.projections.domain import model as redis_model
from tests.projections.sqldomain import (
    CityTable,
    city_table,
    model,
    only,
    rows,
)
from whence.projections.readmodel import ReadModel
from whence.projections.rebuild import rebuild, rollback
from whence.projections.settings import WorkerSettings
from whence.projections.status import wait_until_caught_up
from whence.sql import open_database
from whence.store.embedded import EmbeddedServer
from whence.store.eventstore import EventStore, open_store

CITIES = "SELECT city, parcels, grams FROM cities ORDER BY city"
PARCELS = "SELECT id, city, grams, delivered, seen FROM parcels ORDER BY id"
SMALL = WorkerSettings(lease_ms=3_000, poll_ms=50, retry_ms=20, batch=7)


class CityTableElsewhere(CityTable, name="city-table-elsewhere"):
    """The same in another database, under a name of its own in Redis."""


async def test_sums_are_those_of_the_log_wherever_they_are_kept(
    valkey: EmbeddedServer, namespace: str, sqlite_url: str, postgres_url: str
) -> None:
    names = ("Riga", "Oslo", "Bern")
    async with (
        open_store(valkey.url, namespace=namespace, partitions=8) as store,
        open_database(sqlite_url) as sqlite,
        open_database(postgres_url) as postgres,
    ):
        elsewhere = only(CityTableElsewhere)
        # Two workers of each table, which take the partitions from each other.
        async with (
            working(store, redis_model, SMALL),
            working(store, model.at(sqlite), SMALL),
            working(store, model.at(sqlite), SMALL),
            working(store, elsewhere.at(postgres), SMALL),
            working(store, elsewhere.at(postgres), SMALL),
        ):
            for n, name in enumerate(names):
                streams = [parcel(f"{name}-{m}") for m in range(100)]
                await record_many(store, streams, Sent(name, n + 1))
            for projection in (cities, city_table, *elsewhere.projections.values()):
                await wait_until_caught_up(store, projection, timeout_s=60)
        parcels: Counter[str] = Counter()
        grams: Counter[str] = Counter()
        for number in range(8):
            for event in await store.fetch(await store.pointers(number, after=0, limit=1_000)):
                name = event.id.partition("-")[0]
                parcels[name] += 1
                grams[name] += names.index(name) + 1
        fold = [(name, parcels[name], grams[name]) for name in sorted(names)]
        found = await view_of(store, cities)
        assert [(name, found[name].parcels, found[name].grams) for name in sorted(names)] == fold
        assert rows(sqlite_url, CITIES) == fold
        assert rows(postgres_url, CITIES) == fold


async def test_a_view_made_anew_is_the_same_and_is_switched_to(
    store: EventStore, sql_url: str
) -> None:
    streams = [parcel(n) for n in range(60)]
    async with open_database(sql_url) as database:
        bound: ReadModel = model.at(database)
        projection = bound.projector("parcel-table")
        async with working(store, bound):
            await record_many(store, streams, Sent("Riga", 10))
            for stream in streams[::7]:
                await record(store, stream, Weighed(11), Weighed(12))
            await wait_until_caught_up(store, projection)
            live = rows(sql_url, PARCELS)
            report = await rebuild(store, projection, settings=SMALL)
            assert (report.generation, report.live, report.parked) == (2, True, 0)
            assert rows(sql_url, PARCELS) == live
            assert rows(sql_url, "SELECT count(*) FROM parcels__2") == [(60,)]
            await record(store, streams[0], Weighed(99))
            await wait_until_caught_up(store, projection)
            assert rows(sql_url, "SELECT grams FROM parcels WHERE id = '0'") == [(99,)]
            assert (await rollback(store, projection, settings=SMALL)).generation == 1
            assert rows(sql_url, "SELECT grams FROM parcels WHERE id = '0'") == [(99,)]
    assert len(rows(sql_url, PARCELS)) == len(streams)
