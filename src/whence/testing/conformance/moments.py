"""When an event occurred."""

from datetime import timedelta

import pytest
from msgspec.structs import replace

from whence.store.append import Committed
from whence.store.errors import InvalidEvent
from whence.store.eventstore import EventStore
from whence.store.recorded import microseconds
from whence.testing.conformance.accounts import NOON, Deposited, Opened, account, append_of
from whence.testing.conformance.reads import feed_of
from whence.testing.conformance.suite import Suite


class Moments(Suite):
    """The moment of an event is exact, and never goes back within a stream."""

    async def test_the_server_gives_the_moment(self, store: EventStore) -> None:
        outcome = await store.append(append_of(account(), 0, Opened("ann"), Deposited(1)))

        assert isinstance(outcome, Committed)
        records = [record async for record in store.read(account())]
        assert [r.occurred_at_us for r in records] == [outcome.occurred_at_us] * 2
        seconds, _ = await store.ask("TIME")
        assert abs(int(seconds) - outcome.occurred_at_us / 1e6) < 60

    async def test_history_keeps_its_own_moments(self, store: EventStore) -> None:
        await store.append(append_of(account(), 0, Opened("ann"), Deposited(1), at=NOON))

        records = [record async for record in store.read(account())]
        assert [r.occurred_at for r in records] == [NOON, NOON + timedelta(minutes=1)]

    async def test_history_may_be_older_than_unix(self, store: EventStore) -> None:
        moon_landing = NOON.replace(year=1969, month=7, day=20)
        await store.append(append_of(account(), 0, Opened("neil"), Deposited(1), at=moon_landing))

        records = [record async for record in store.read(account())]
        assert [r.occurred_at for r in records] == [
            moon_landing,
            moon_landing + timedelta(minutes=1),
        ]

    @pytest.mark.parametrize("year", [1600, 9999])
    async def test_a_moment_that_lua_cannot_keep_exactly_is_refused(
        self, store: EventStore, year: int
    ) -> None:
        with pytest.raises(InvalidEvent, match="before 1685 or after 2255"):
            await store.append(append_of(account(), 0, Opened("ann"), at=NOON.replace(year=year)))

        assert await store.head(account()) == 0

    @pytest.mark.parametrize("year", [1686, 2254])
    async def test_the_moments_at_both_ends_are_kept_exactly(
        self, store: EventStore, year: int
    ) -> None:
        moment = NOON.replace(year=year, microsecond=999_999)
        await store.append(append_of(account(), 0, Opened("ann"), at=moment))

        assert [r.occurred_at async for r in store.read(account())] == [moment]

    async def test_going_back_is_refused(self, store: EventStore) -> None:
        await store.append(append_of(account(), 0, Opened("ann"), at=NOON))
        earlier = append_of(account(), 1, Deposited(1), at=NOON - timedelta(seconds=1))

        with pytest.raises(InvalidEvent, match="2026-01-31T12:00:00"):
            await store.append(earlier)

        assert await store.head(account()) == 1

    async def test_going_back_within_one_append_is_refused_as_a_whole(
        self, store: EventStore
    ) -> None:
        append = append_of(account(), 0, Opened("ann"), Deposited(1), at=NOON)
        swapped = replace(append, events=list(reversed(append.events)))

        with pytest.raises(InvalidEvent, match="never goes back"):
            await store.append(swapped)

        assert await store.head(account()) == 0
        assert await feed_of(store, account()) == []

    async def test_a_clock_that_was_set_back_does_not_stop_appends(self, store: EventStore) -> None:
        future = NOON.replace(year=2100)
        await store.append(append_of(account(), 0, Opened("ann"), at=future))

        outcome = await store.append(append_of(account(), 1, Deposited(1)))

        assert isinstance(outcome, Committed)
        records = [record async for record in store.read(account())]
        assert [r.occurred_at for r in records] == [future, future]

    async def test_a_writer_who_tells_the_last_moment_gets_the_same_answers(
        self, store: EventStore
    ) -> None:
        future = NOON.replace(year=2100)
        await store.append(append_of(account(), 0, Opened("ann"), at=future))
        told = microseconds(future)

        earlier = append_of(account(), 1, Deposited(1), at=NOON, after_us=told)
        with pytest.raises(InvalidEvent, match="2100-01-31T12:00:00"):
            await store.append(earlier)
        outcome = await store.append(append_of(account(), 1, Deposited(1), after_us=told))

        assert isinstance(outcome, Committed)
        assert (outcome.version, outcome.position, outcome.occurred_at_us) == (2, 2, told)
        records = [record async for record in store.read(account())]
        assert [r.occurred_at for r in records] == [future, future]
