"""The tables of the generations of a SQL view: whose they are, and what becomes of them."""

from collections.abc import Awaitable, Callable

import anyio
import pytest
from sqlalchemy import create_engine, inspect

from tests.projections.domain import QUICK, Sent, Weighed, events, parcel, record, until, working
from tests.projections.sqldomain import TallyTable, only, rows, tallies
from whence.projections.database import Database, parse_url
from whence.projections.generation import Generation, make_ours
from whence.projections.lease import Leases
from whence.projections.ledger import ledger_of
from whence.projections.readmodel import ReadModel
from whence.projections.rebuild import abandon, drop_previous, rebuild, rollback
from whence.projections.status import wait_until_caught_up
from whence.projections.succession import SWITCH, Fence, Succession
from whence.sql import open_database
from whence.store.errors import InvalidDomain, NoGeneration
from whence.store.eventstore import EventStore
from whence.store.script import Script

TALLIES = "SELECT id, seen FROM tallies ORDER BY id"
model = only(TallyTable)


def tables(url: str) -> set[str]:
    engine = create_engine(parse_url(url))
    try:
        return {name for name in inspect(engine).get_table_names() if "tallies" in name}
    finally:
        engine.dispose()


async def take_late(store: EventStore, database: Database) -> object:
    """As a worker that was paused after it had the lease of generation 1; returns what is wrong."""
    late = model.at(database).projector("tally-table").generation(1)
    wire = store.address.wire()
    ledger = ledger_of(store, late, wire)
    leases = await Leases(store, late.name, "late", 60_000, wire).acquire([0], force=True)
    try:
        return (await ledger.take(leases)).get(0)
    finally:
        await ledger.close()
        await wire.close()


async def test_what_was_dropped_is_not_made_again_by_a_worker_that_does_not_know(
    store: EventStore, sql_url: str
) -> None:
    await record(store, parcel(1), Sent("Riga"))
    async with open_database(sql_url) as database:
        projection = model.at(database).projector("tally-table")
        async with working(store, model.at(database)):
            await wait_until_caught_up(store, projection)
        await rebuild(store, projection, settings=QUICK)
        await drop_previous(store, projection)
        assert isinstance(await take_late(store, database), NoGeneration)
        assert tables(sql_url) == {"tallies__2"}
        assert rows(sql_url, TALLIES) == [("1", 1)]


async def test_a_number_is_used_again_where_somebody_has_deleted_the_keys(
    store: EventStore, sql_url: str
) -> None:
    await record(store, parcel(1), Sent("Riga"))
    async with open_database(sql_url) as database:
        projection = model.at(database).projector("tally-table")
        for _ in range(3):
            await rebuild(store, projection, settings=QUICK)
        await store.ask("DEL", store.keys.generations("tally-table"))
        await rebuild(store, projection, settings=QUICK)
        assert rows(sql_url, "SELECT id, seen FROM tallies__2") == [("1", 1)]
        assert rows(sql_url, TALLIES) == [("1", 1)]


async def test_a_switch_that_was_broken_off_is_undone_by_abandoning_it(
    store: EventStore, sql_url: str
) -> None:
    """Tables are shown before the rest of a switch: whoever reads them sees it, and nobody else."""

    async def not_yet(*_: object) -> bool:
        return False

    await record(store, parcel(1), Sent("Riga"))
    async with open_database(sql_url) as database:
        projection = model.at(database).projector("tally-table")
        async with working(store, model.at(database)):
            await wait_until_caught_up(store, projection)
            await rebuild(store, projection, settings=QUICK, check=not_yet)
            wire = store.address.wire()
            ledger = ledger_of(store, projection.generation(2), wire)
            assert await ledger.show()
            await ledger.close()
            await wire.close()
            assert await abandon(store, projection) == 2
            await record(store, parcel(1), Weighed(1))
            await wait_until_caught_up(store, projection)
    assert tables(sql_url) == {"tallies__1"}
    assert rows(sql_url, TALLIES) == [("1", 2)]


class TestASwitchThatEndsBetweenItsTablesAndRedis:
    """Readers of SQL see the other generation then, and nobody else does."""

    async def test_is_finished_by_a_worker(
        self, store: EventStore, sql_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await record(store, parcel(1), Sent("Riga"))
        async with open_database(sql_url) as database:
            projection = model.at(database).projector("tally-table")
            await killed(rebuild(store, projection, settings=QUICK), monkeypatch)
            await finished_by_a_worker(store, database, 2)
            assert rows(sql_url, TALLIES) == [("1", 2)]

    async def test_is_finished_as_well_where_it_was_to_go_back(
        self, store: EventStore, sql_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await record(store, parcel(1), Sent("Riga"))
        async with open_database(sql_url) as database:
            projection = model.at(database).projector("tally-table")
            await rebuild(store, projection, settings=QUICK)
            await killed(rollback(store, projection, settings=QUICK), monkeypatch)
            await finished_by_a_worker(store, database, 1)
            assert rows(sql_url, TALLIES) == [("1", 2)]


class Killed(BaseException):
    pass


async def killed(switching: Awaitable[object], monkeypatch: pytest.MonkeyPatch) -> None:
    """Do something that switches, and end before the switch in Redis."""
    run: Callable[..., Awaitable[object]] = vars(Succession)["_run"]

    async def end_before_the_switch(self: Succession, script: Script, args: object) -> object:
        if script is SWITCH:
            raise Killed
        return await run(self, script, args)

    with monkeypatch.context() as patched:
        patched.setattr(Succession, "_run", end_before_the_switch)
        with pytest.RaisesGroup(Killed):
            await switching


async def finished_by_a_worker(store: EventStore, database: Database, number: int) -> None:
    projection = model.at(database).projector("tally-table")
    succession = Succession(store, projection)
    assert (await succession.look()).live != number
    async with working(store, model.at(database)):
        with anyio.fail_after(60):
            while (await succession.look()).live != number:
                await anyio.sleep(0.01)
        await record(store, parcel(1), Weighed(1))
        await wait_until_caught_up(store, projection)


async def test_a_switch_whose_leases_were_taken_shows_nothing(
    store: EventStore, sql_url: str
) -> None:
    await record(store, parcel(1), Sent("Riga"))
    async with open_database(sql_url) as database:
        projection = model.at(database).projector("tally-table")
        await rebuild(store, projection, settings=QUICK)
        wire = store.address.wire()
        ledger = ledger_of(store, projection.generation(2), wire)
        held = await Leases(store, "tally-table@2", "switch", 60_000, wire).acquire(range(8))
        assert not await ledger.hold(held)
        succession = Succession(store, projection)
        async with working(store, model.at(database)):
            await record(store, parcel(1), Weighed(1))
            with anyio.fail_after(20):  # a worker waits for the leases, which nobody renews
                for partition in range(8):
                    await store.ask("DEL", store.keys.lease(partition, "tally-table@2"))
                await wait_until_caught_up(store, projection)
        assert await succession.switch(2, 1, Fence(held)) == 2
        assert rows(sql_url, TALLIES) == [("1", 2)]
        assert (await succession.look()).live == 2
        await ledger.close()
        await wire.close()


def test_the_twelfth_is_not_taken_for_the_first(sql_url: str) -> None:
    first = Generation("tally-table", [tallies])
    twelfth = Generation("tally-table@12", [tallies])
    engine = create_engine(parse_url(sql_url))
    with engine.begin() as connection:
        make_ours(connection)
        first.prepare(connection)
        twelfth.prepare(connection)
        twelfth.switch(connection)
        first.drop(connection, twelfth, for_good=True)
    engine.dispose()
    assert tables(sql_url) == {"tallies__12"}
    assert rows(sql_url, TALLIES) == []


async def test_a_projection_of_another_name_does_not_go_on_with_its_tables(
    store: EventStore, sql_url: str
) -> None:
    class Renamed(TallyTable, name="renamed"):
        pass

    renamed = only(Renamed)
    await record(store, parcel(1), Sent("Riga"))
    number = store.keys.partition(parcel(1))
    async with open_database(sql_url) as database:
        async with working(store, model.at(database)):
            await wait_until_caught_up(store, model.projector("tally-table"))
        async with working(store, renamed.at(database)):
            projection = renamed.at(database).projector("renamed")
            found = await until(store, lambda found: found[number].failure != "", projection)
            assert "no checkpoint says which events it has" in found[number].failure
            assert rows(sql_url, TALLIES) == [("1", 1)]
            await rebuild(store, projection, settings=QUICK)
            await record(store, parcel(1), Weighed(5))
            await wait_until_caught_up(store, projection)
        assert rows(sql_url, TALLIES) == [("1", 2)]


def test_two_projections_cannot_have_one_table() -> None:
    class Second(TallyTable, name="second"):
        pass

    with pytest.raises(InvalidDomain, match="tally-table and second have one table, tallies"):
        ReadModel([TallyTable, Second], events)
