"""What a monitor is told of the views."""

from collections.abc import Sequence

import pytest

from tests.projections.domain import (
    QUICK,
    Cities,
    Sent,
    Tally,
    Weighed,
    only,
    parcel,
    record,
    until,
    working,
)
from whence.projections.figures import figures
from whence.projections.status import wait_until_caught_up
from whence.store.eventstore import EventStore
from whence.store.wire import Command, Reply


async def test_a_view_that_nobody_has_begun(store: EventStore) -> None:
    await record(store, parcel(1), Sent("Riga"), Weighed(1))
    (found,) = await figures(store, ["counts"])
    assert found.projection == "counts"
    lag = dict.fromkeys(range(8), 0) | {store.keys.partition(parcel(1)): 2}
    assert (found.lag, found.parked) == (lag, dict.fromkeys(range(8), 0))
    assert (found.owners, found.unowned, found.halted) == ({}, 8, 0)


async def test_several_views_in_one_round_trip(
    store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Tally, "broken", frozenset(["1"]))
    model = only(Tally, Cities)
    tally, cities = model.projections.values()
    number = store.keys.partition(parcel(1))
    await record(store, parcel(1), Sent("Riga"), Weighed(1))
    async with working(store, model, QUICK) as worker:
        for projection in (tally, cities):
            await wait_until_caught_up(store, projection)
            await until(store, lambda found: all(x.owner for x in found), projection)
        asked = store.ask_many
        trips = 0

        async def counted(commands: Sequence[Command]) -> list[Reply]:
            nonlocal trips
            trips += 1
            return await asked(commands)

        with monkeypatch.context() as patch:
            patch.setattr(store, "ask_many", counted)
            first, second = await figures(store, model.projections)
            assert trips == 1
    assert (first.projection, second.projection) == ("tally", "cities")
    assert first.parked == dict.fromkeys(range(8), 0) | {number: 1}
    assert second.parked == dict.fromkeys(range(8), 0)
    for found in (first, second):
        assert set(found.lag.values()) == {0}
        assert (found.owners, found.unowned, found.halted) == ({worker.owner: 8}, 0, 0)
    assert await figures(store, []) == []


async def test_a_halted_partition(store: EventStore, monkeypatch: pytest.MonkeyPatch) -> None:
    class Halting(Tally, name="tally", on_failure="halt"):
        pass

    monkeypatch.setattr(Tally, "broken", frozenset(["1"]))
    model = only(Halting)
    await record(store, parcel(1), Sent("Riga"))
    async with working(store, model, QUICK):
        await until(store, lambda found: any(x.failure for x in found), model.projection("tally"))
        (found,) = await figures(store, ["tally"])
    assert found.halted == 1
    assert found.lag[store.keys.partition(parcel(1))] == 1
