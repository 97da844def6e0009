"""What reaches the server a second time, however much later, changes nothing: commits above all.

Somebody between worker and server repeats it: the worker has had its answer, and went on.
"""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from tests.projections.domain import Sent, Tally, Weighed, record
from tests.projections.hands import STREAM, Hands, tally
from tests.projections.sqldomain import TallyTable, rows
from tests.projections.sqldomain import only as only_tables
from whence.projections.batch import Change
from whence.projections.checkpoint import Checkpoints
from whence.projections.lease import Lease
from whence.projections.ledger import Ledger
from whence.sql import open_database
from whence.store.errors import LeaseLost
from whence.store.eventstore import EventStore

TALLIES = "SELECT id, seen, chain FROM tallies"


def mend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Tally, "broken", frozenset[str]())


async def test_a_batch_that_parks(hands: Hands) -> None:
    await hands.nothing_changes_when_it_is_repeated()


async def test_the_pieces_of_a_sequence_that_is_applied_again(
    hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    mend(monkeypatch)
    await hands.ask("retry", 1)
    await hands.tend()
    assert await hands.parked() == []
    await hands.nothing_changes_when_it_is_repeated()


async def test_a_sequence_that_fails_again_and_again(hands: Hands) -> None:
    for _ in range(3):
        await hands.ask("retry", 1)
        await hands.tend()
    await hands.nothing_changes_when_it_is_repeated()


async def test_an_event_that_is_skipped(hands: Hands, monkeypatch: pytest.MonkeyPatch) -> None:
    await hands.ask("skip", 1)
    mend(monkeypatch)
    await hands.tend()
    await hands.nothing_changes_when_it_is_repeated()


async def test_the_answer_to_a_request_that_came_too_late(hands: Hands) -> None:
    """It changes nothing but the request, and another one may be there by then."""
    await hands.ask("skip", 7)
    await hands.tend()
    await hands.ask("skip", 1, "bob")
    await hands.nothing_changes_when_it_is_repeated()


class TestTheClearingOfAGeneration:
    async def test_that_is_live_by_now(self, store: EventStore, hands: Hands) -> None:
        await Checkpoints(store, "tally@2", hands.echo).clear("tally", keep_skips=True)
        new = Hands(store, tally.generation(2))
        await new.follow()
        before = await new.kept()
        await hands.nothing_changes_when_it_is_repeated()
        assert await new.kept() == before
        await new.close()

    async def test_that_nobody_has_worked_on_yet(self, store: EventStore, hands: Hands) -> None:
        """What it skips is all that it has."""
        await hands.ask("skip", 1)
        await hands.tend()
        await Checkpoints(store, "tally@2", hands.echo).clear("tally", keep_skips=True)
        before = await hands.kept("tally@2")
        assert before[3] == (await hands.kept())[3] != []
        await hands.nothing_changes_when_it_is_repeated()
        assert await hands.kept("tally@2") == before

    async def test_that_was_dropped_by_now(self, store: EventStore, hands: Hands) -> None:
        """Or a worker that was paused could take it again."""
        await Checkpoints(store, "tally@2", hands.echo).clear("tally", keep_skips=True)
        wire = store.address.wire()
        await Checkpoints(store, "tally@2", wire).drop("tally", 60_000)
        await wire.close()
        await hands.nothing_changes_when_it_is_repeated()
        assert await hands.kept("tally@2") == [[]] * 5
        lease = store.keys.lease(hands.leases[0].partition, "tally@2")
        assert await store.ask("GET", lease) == b"dropped"

    async def test_makes_sure_that_nobody_goes_on_with_what_was_there(
        self, store: EventStore
    ) -> None:
        """Somebody has deleted the key that counts generations, and one has a number once more."""
        await record(store, STREAM, Sent("Riga"))
        zombie = Hands(store, tally.generation(2))
        await zombie.follow()
        await Checkpoints(store, "tally@2", zombie.echo).clear("tally", keep_skips=True)
        assert (await zombie.kept())[1] == []
        assert await zombie.ledger.note_failure(zombie.leases[0], "stands still") is not None
        await zombie.close()


async def test_a_sql_view(store: EventStore, sql_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The database is told twice as well: what it fences must mean the same."""
    monkeypatch.setattr(TallyTable, "broken", frozenset({STREAM.id}))
    await record(store, STREAM, Sent("Riga"), Weighed(1), Weighed(2))
    async with open_database(sql_url) as database:
        projection = only_tables(TallyTable).projector("tally-table")
        hands = Hands(store, projection.at(database))
        told = remember(hands.ledger, monkeypatch)
        await hands.follow()
        monkeypatch.setattr(TallyTable, "broken", frozenset[str]())
        await hands.ask("retry", 1)
        await hands.tend()
        for change in list(told):
            (outcome,) = await hands.ledger.commit([change])
            assert isinstance(outcome, LeaseLost)
        await hands.nothing_changes_when_it_is_repeated()
        await hands.close()
    assert rows(sql_url, TALLIES) == [(STREAM.id, 3, 18)]
    assert rows(sql_url, "SELECT count(*) FROM whence_parked") == [(0,)]


def remember(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Lease, Change]]:
    """What this ledger is told to commit from now on, each with the lease as it stood then."""
    told: list[tuple[Lease, Change]] = []
    commit = ledger.commit

    async def remembering(changes: Sequence[tuple[Lease, Change]]) -> object:
        told.extend((replace(lease), change) for lease, change in changes)
        return await commit(changes)

    monkeypatch.setattr(ledger, "commit", remembering)
    return told
