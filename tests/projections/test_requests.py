"""A request that comes in the place of another one, which a worker has begun with."""

import pytest

from tests.projections.domain import Sent, Tally, Weighed, record
from tests.projections.hands import STREAM, Hands, tally
from tests.projections.sqldomain import TallyTable
from tests.projections.sqldomain import only as only_tables
from whence.projections.parked import skipped_events
from whence.sql import open_database
from whence.store.eventstore import EventStore

NOBODY: frozenset[str] = frozenset()


async def test_is_answered_after_it(store: EventStore, hands: Hands) -> None:
    await hands.ask("retry", 1)
    await hands.look()
    await hands.ask("skip", 1, "bob")
    await hands.work()
    assert await skipped_events(store, tally) == []

    await hands.tend()
    (event,) = await skipped_events(store, tally)
    assert (event.version, event.skip.by) == (1, "bob")
    assert await hands.asked() == []


async def test_is_answered_after_it_where_it_says_the_same(
    store: EventStore, hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who asks once more has mended something meanwhile."""
    await hands.ask("retry", 1)
    await hands.look()
    await hands.ask("retry", 1)
    await hands.work()
    monkeypatch.setattr(Tally, "broken", NOBODY)
    await hands.tend()
    assert await hands.parked() == []
    assert await hands.asked() == []


async def test_is_answered_after_one_that_came_too_late(store: EventStore, hands: Hands) -> None:
    await hands.ask("skip", 7)
    await hands.look()
    await hands.ask("skip", 1, "bob")
    await hands.work()
    await hands.tend()
    assert [event.skip.by for event in await skipped_events(store, tally)] == ["bob"]


async def test_ends_with_its_sequence(hands: Hands, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody would look for it, until the sequence is parked again for a reason of its own."""
    monkeypatch.setattr(Tally, "broken", NOBODY)
    await hands.ask("retry", 1)
    await hands.look()
    await hands.ask("skip", 1, "bob")
    await hands.work()
    assert await hands.parked() == []
    assert await hands.asked() == []


async def test_is_answered_by_a_sql_view_as_well(
    store: EventStore, sql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TallyTable, "broken", frozenset({STREAM.id}))
    await record(store, STREAM, Sent("Riga"), Weighed(1), Weighed(2))
    async with open_database(sql_url) as database:
        projection = only_tables(TallyTable).projector("tally-table").at(database)
        hands = Hands(store, projection)
        await hands.follow()
        await hands.ask("retry", 1)
        await hands.look()
        await hands.ask("skip", 1, "bob")
        await hands.work()
        await hands.tend()
        assert [event.skip.by for event in await skipped_events(store, projection)] == ["bob"]
        assert await hands.asked() == []
        await hands.close()
