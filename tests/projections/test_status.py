"""What people and monitors are told of the views."""

from collections.abc import Sequence

import pytest

from tests.projections.domain import (
    QUICK,
    Cities,
    Sent,
    Tally,
    Weighed,
    counts,
    only,
    parcel,
    record,
    until,
    working,
)
from whence.projections.status import owner_counts, status, statuses, wait_until_caught_up
from whence.store.eventstore import EventStore, open_store
from whence.store.wire import Command, Reply

EACH = dict.fromkeys(range(8), 0)


async def test_a_view_that_nobody_has_begun_lags_by_all_events(store: EventStore) -> None:
    await record(store, parcel(1), Sent("Riga"), Weighed(1))
    found = await status(store, counts)
    number = store.keys.partition(parcel(1))
    assert {one.partition: one.lag for one in found} == EACH | {number: 2}
    assert {(one.owner, one.failure, one.parked) for one in found} == {("", "", 0)}
    assert owner_counts(found) == {}


async def test_all_views_in_one_round_trip(
    store: EventStore, url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Tally, "broken", frozenset(["1"]))
    model = only(Tally, Cities)
    number = store.keys.partition(parcel(1))
    await record(store, parcel(1), Sent("Riga"), Weighed(1))
    async with working(store, model, QUICK) as worker:
        for projection in model.projections.values():
            await wait_until_caught_up(store, projection)
        trips = 0
        async with open_store(url, namespace=namespace) as other:
            asked = other.ask_many

            async def counted(commands: Sequence[Command]) -> list[Reply]:
                nonlocal trips
                trips += 1
                return await asked(commands)

            monkeypatch.setattr(other, "ask_many", counted)
            found = await statuses(other, [*model.projections.values()] * 2)
        assert trips == 1
        assert list(found) == ["tally", "cities"]
        parked = {name: {x.partition: x.parked for x in all_} for name, all_ in found.items()}
        assert parked == {"tally": EACH | {number: 1}, "cities": EACH}
        for name, projection in model.projections.items():
            assert {one.lag for one in found[name]} == {0}
            await until(store, lambda found: owner_counts(found) == {worker.owner: 8}, projection)
    assert await statuses(store, []) == {}
