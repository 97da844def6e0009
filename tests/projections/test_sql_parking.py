"""Events that a database refuses, and people's decisions about them."""

import pytest

from tests.projections.domain import Delivered, Sent, Weighed, parcel, record, working
from tests.projections.sqldomain import model, parcel_table, rows
from whence.projections.parked import parked_sequences, skipped_events
from whence.projections.requests import retry, skip
from whence.projections.settings import WorkerSettings
from whence.projections.status import wait_until_caught_up
from whence.sql import open_database
from whence.store.eventstore import EventStore
from whence.store.ids import StreamId

PARCELS = "SELECT id, city, grams FROM parcels ORDER BY id"
ONCE = WorkerSettings(lease_ms=3_000, poll_ms=50, retry_ms=20, longest_retry_ms=100, attempts=1)


async def neighbours(store: EventStore, count: int) -> list[StreamId]:
    """Parcels of one partition."""
    number = store.keys.partition(parcel(1))
    found = [s for s in map(parcel, range(1, 999)) if store.keys.partition(s) == number]
    return found[:count]


async def test_only_the_events_at_fault_are_parked_and_the_rest_of_their_batch_is_applied(
    store: EventStore, sql_url: str
) -> None:
    good, absent, other, too_big = await neighbours(store, 4)
    await record(store, good, Sent("Riga", 1))
    await record(store, absent, Weighed(5), Delivered())  # no row: it was never sent
    await record(store, too_big, Sent("Oslo", 2), Weighed(2**70))
    await record(store, other, Sent("Bern", 3))
    await record(store, good, Weighed(4))
    async with open_database(sql_url) as database, working(store, model.at(database), ONCE):
        await wait_until_caught_up(store, parcel_table)
        expected = [(good.id, "Riga", 4), (other.id, "Bern", 3), (too_big.id, "Oslo", 2)]
        assert rows(sql_url, PARCELS) == sorted(expected)
        parked = {found.stream: found for found in await parked_sequences(store, parcel_table)}
    assert {stream: found.note.version for stream, found in parked.items()} == {
        absent: 1,
        too_big: 2,
    }
    assert "an update needs the row in parcels__1, and it is not there" in (
        parked[absent].note.reason
    )
    assert parked[absent].waiting == 2


@pytest.mark.parametrize("worker_runs", [True, False], ids=["worker", "no worker"])
async def test_a_skipped_event_stays_so_and_what_follows_is_applied(
    store: EventStore, sql_url: str, worker_runs: bool
) -> None:
    (stream,) = await neighbours(store, 1)
    await record(store, stream, Sent("Oslo", 2), Weighed(2**70), Weighed(7))
    async with open_database(sql_url) as database:
        bound = model.at(database)
        projection = bound.projector("parcel-table")
        async with working(store, bound, ONCE):
            await wait_until_caught_up(store, projection)
            answer = await retry(store, projection, stream)
            assert answer.outcome == "parked"
            if worker_runs:
                answer = await skip(store, projection, stream, "a broken scale")
        if not worker_runs:
            answer = await skip(store, projection, stream, "a broken scale")
    assert answer.outcome == "applied"
    assert rows(sql_url, PARCELS) == [(stream.id, "Oslo", 7)]
    (skipped,) = await skipped_events(store, parcel_table)
    assert (skipped.stream, skipped.version, skipped.skip.reason) == (stream, 2, "a broken scale")
    assert rows(sql_url, "SELECT count(*) FROM whence_parked") == [(0,)]
