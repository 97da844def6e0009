"""Waiting until a view has what was written."""

from collections.abc import Sequence

import anyio
import pytest

from tests.projections.domain import (
    CountRow,
    Counts,
    Sent,
    Tally,
    Weighed,
    counts,
    only,
    parcel,
    record,
    working,
)
from whence.projections.freshness import Freshness, LogPosition
from whence.projections.query import get
from whence.projections.requests import retry, skip
from whence.projections.settings import WorkerSettings
from whence.projections.status import wait_until_caught_up
from whence.store.errors import EventParked, InvalidInput, StoreUnavailable, ViewBehind
from whence.store.eventstore import EventStore
from whence.store.wire import Command, Reply

ONE = parcel(1)
tallies = only(Tally)
tally = tallies.projection("tally")


@pytest.fixture(autouse=True)
def _mended_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Tally, "broken", frozenset[str]())


def at(store: EventStore, position: int) -> LogPosition:
    return LogPosition(store.keys.partition(ONE), position)


class Looked(EventStore):
    """Counts the round trips, and may have lost its server."""

    looks: list[int]
    lost = False

    async def ask_many(self, commands: Sequence[Command]) -> list[Reply]:
        self.looks.append(len(commands))
        if self.lost:
            raise StoreUnavailable("there", "gone")
        return await super().ask_many(commands)


@pytest.fixture
async def looked(store: EventStore) -> Looked:
    looked = Looked(store.address, store.keys, store.identity)
    looked.looks = []
    return looked


async def test_what_was_written_is_in_the_view_when_it_has_caught_up(store: EventStore) -> None:
    freshness = Freshness(store)
    async with working(store, only(Counts)):
        for n in range(1, 30):
            await record(store, ONE, Sent("Riga"))
            await freshness.caught_up(counts, at(store, n))
            assert await get(store, counts, "1") == CountRow(n)


async def test_a_position_that_the_view_has_passed_is_not_waited_for(looked: Looked) -> None:
    async with working(looked, only(Counts)):
        await record(looked, ONE, Sent("Riga"))
        await wait_until_caught_up(looked, counts)
    looked.looks.clear()
    await Freshness(looked).caught_up(counts, at(looked, 1), at(looked, 0), timeout_s=20)
    assert looked.looks == [3]
    await looked.close()


async def test_a_view_that_does_not_come_so_far_says_how_far_it_is(store: EventStore) -> None:
    await record(store, ONE, Sent("Riga"))
    async with working(store, only(Counts)):
        await wait_until_caught_up(store, counts)
    with pytest.raises(ViewBehind, match=r"is at position 1 of partition \d .* not yet at 2") as e:
        await Freshness(store).caught_up(counts, at(store, 1), at(store, 2), timeout_s=0.02)
    assert (e.value.reached, e.value.position) == (1, 2)


async def test_however_many_wait_there_is_one_look_at_a_time(looked: Looked) -> None:
    freshness = Freshness(looked)
    begun = anyio.Event()

    async def wait() -> None:
        begun.set()
        await freshness.caught_up(counts, at(looked, 1), timeout_s=20)

    async with anyio.create_task_group() as tasks:
        for _ in range(200):
            tasks.start_soon(wait)
        await begun.wait()
        await record(looked, ONE, Sent("Riga"))
        async with working(looked, only(Counts)):
            await wait_until_caught_up(looked, counts)
    places = [n for n in looked.looks if n == 3]
    assert 0 < len(places) < 200  # each of 3 commands, whoever waits for it
    await looked.close()


async def test_who_goes_away_leaves_nothing_running(looked: Looked) -> None:
    freshness = Freshness(looked)
    with anyio.move_on_after(0.02):
        await freshness.caught_up(counts, at(looked, 1), timeout_s=20)
    with anyio.fail_after(5):
        while freshness.busy:
            await anyio.sleep(0)
    await looked.close()


async def test_a_server_that_goes_away_is_told_to_all_who_wait(looked: Looked) -> None:
    freshness = Freshness(looked)
    looked.lost = True
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            await freshness.caught_up(counts, at(looked, 1), at(looked, 2), timeout_s=20)
    looked.lost = False
    with pytest.raises(ViewBehind):
        await freshness.caught_up(counts, at(looked, 1), timeout_s=0.01)
    await looked.close()


async def test_a_partition_that_is_not_there_is_refused(store: EventStore) -> None:
    for wrong in (-1, 8):
        with pytest.raises(InvalidInput, match=f"no partition {wrong}: this store has 0 to 7"):
            await Freshness(store).caught_up(counts, LogPosition(wrong, 1))


class TestAParkedEvent:
    settings = WorkerSettings(lease_ms=3_000, poll_ms=50, attempts=1)

    async def test_is_not_passed_off_as_seen(
        self, store: EventStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        freshness = Freshness(store)
        await record(store, ONE, Sent("Riga"))
        async with working(store, tallies, self.settings):
            await freshness.caught_up(tally, at(store, 1))
            monkeypatch.setattr(Tally, "broken", frozenset({"1"}))
            await record(store, ONE, Weighed(1), Weighed(2))
            for position in (2, 3):
                with pytest.raises(EventParked, match=rf"version {position} of {ONE} is parked"):
                    await freshness.caught_up(tally, at(store, position))
            await freshness.caught_up(tally, at(store, 1))  # is in the view as before
            monkeypatch.setattr(Tally, "broken", frozenset[str]())
            await retry(store, tally, ONE)
            await freshness.caught_up(tally, at(store, 3))

    async def test_that_is_skipped_is_waited_for_no_longer(
        self, store: EventStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(Tally, "broken", frozenset({"1"}))
        await record(store, ONE, Sent("Riga"))
        async with working(store, tallies, self.settings):
            with pytest.raises(EventParked):
                await Freshness(store).caught_up(tally, at(store, 1))
            await skip(store, tally, ONE, "no")
            await Freshness(store).caught_up(tally, at(store, 1))
