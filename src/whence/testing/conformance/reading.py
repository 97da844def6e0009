"""Reading one stream, in every direction."""

from datetime import timedelta

from whence.store.eventstore import EventStore
from whence.store.feed import Span
from whence.testing.conformance.accounts import NOON, Deposited, account, append_of
from whence.testing.conformance.reads import events_of, listed
from whence.testing.conformance.suite import Suite


async def ten_events(store: EventStore) -> None:
    """Deposits of 1 to 10, a minute apart, from noon on."""
    events = [Deposited(i) for i in range(1, 11)]
    await store.append(append_of(account(), 0, *events, at=NOON))


class Reading(Suite):
    """A stream is what was appended to it, all of it or the part that was asked for."""

    async def test_a_stream_is_read_forwards(self, store: EventStore) -> None:
        await ten_events(store)
        assert await events_of(store, account()) == [Deposited(i) for i in range(1, 11)]

    async def test_a_stream_is_read_by_version_range(self, store: EventStore) -> None:
        await ten_events(store)
        assert await events_of(store, account(), first=3, last=5) == [
            Deposited(3),
            Deposited(4),
            Deposited(5),
        ]
        assert await events_of(store, account(), first=9) == [Deposited(9), Deposited(10)]
        assert await events_of(store, account(), first=5, last=4) == []

    async def test_a_stream_is_read_as_of_a_moment(self, store: EventStore) -> None:
        await ten_events(store)
        until = NOON + timedelta(minutes=2)

        assert len(await events_of(store, account(), until=until)) == 3
        just_before = until - timedelta(microseconds=1)
        assert len(await events_of(store, account(), until=just_before)) == 2
        assert await events_of(store, account(), until=NOON - timedelta(days=1)) == []

    async def test_a_stream_is_read_with_a_limit(self, store: EventStore) -> None:
        await ten_events(store)
        assert await events_of(store, account(), limit=2) == [Deposited(1), Deposited(2)]
        assert await events_of(store, account(), limit=0) == []

    async def test_a_stream_is_read_backwards(self, store: EventStore) -> None:
        await ten_events(store)
        records = [r async for r in store.read_backwards(account(), last=4, limit=3)]
        assert [r.version for r in records] == [4, 3, 2]
        everything = [r.version async for r in store.read_backwards(account())]
        assert everything == list(range(10, 0, -1))
        assert [r async for r in store.read_backwards(account("none"))] == []

    async def test_a_stream_longer_than_a_page_is_read_whole(self, store: EventStore) -> None:
        for start in range(0, 1500, 500):
            batch = [Deposited(i) for i in range(start, start + 500)]
            await store.append(append_of(account("long"), start, *batch))

        assert len(await events_of(store, account("long"))) == 1500
        assert len(await events_of(store, account("long"), limit=700)) == 700
        backwards = [r.version async for r in store.read_backwards(account("long"))]
        assert backwards == list(range(1500, 0, -1))

    async def test_a_stream_that_is_not_there_is_empty(self, store: EventStore) -> None:
        assert await events_of(store, account("none")) == []
        assert await listed(store.read_backwards(account("none"))) == []
        assert await store.head(account("none")) == 0

    async def test_many_streams_are_read_in_one_round_trip(self, store: EventStore) -> None:
        await ten_events(store)
        spans = [Span(account(), 2, 4), Span(account("none"), 1, 9), Span(account(), 9, 99)]

        found = await store.read_many(spans, limit=2)

        assert [[record.version for record in span] for span in found] == [[2, 3], [], [9, 10]]
