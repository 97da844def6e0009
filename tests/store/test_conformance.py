"""What every store does, on fakeredis and on Valkey alike. It reads as a description of append."""

import asyncio
from datetime import timedelta

import pytest

from tests.store.domain import NOON, Deposited, Opened, Weighed, account, append_of, registry
from whence.store.append import Committed, Conflicted, Duplicate, Outcome
from whence.store.errors import ChecksumMismatch, InvalidEvent, ServerRefused, StreamGap
from whence.store.events import Event
from whence.store.eventstore import EventStore, open_store
from whence.store.ids import StreamId
from whence.store.recorded import Recorded


async def events_of(store: EventStore, stream: StreamId, **options: object) -> list[Event]:
    records = [record async for record in store.read(stream, **options)]  # type: ignore[arg-type]
    return [event for record in records for event in registry.decode_all(record)]


async def feed_of(store: EventStore, stream: StreamId) -> list[Recorded]:
    partition = store.keys.partition(stream)
    return await store.fetch(await store.pointers(partition, after=0))


class TestAppend:
    async def test_first_event_makes_the_stream(self, store: EventStore) -> None:
        outcome = await store.append(append_of(account(), 0, Opened("ann")))

        assert isinstance(outcome, Committed)
        assert (outcome.version, outcome.position) == (1, 1)
        assert await events_of(store, account()) == [Opened("ann")]

    async def test_events_of_one_append_have_contiguous_versions_and_positions(
        self, store: EventStore
    ) -> None:
        await store.append(append_of(account(), 0, Opened("ann")))
        outcome = await store.append(append_of(account(), 1, Deposited(5), Deposited(7)))

        assert isinstance(outcome, Committed)
        assert (outcome.version, outcome.position) == (2, 2)
        records = [record async for record in store.read(account())]
        assert [record.version for record in records] == [1, 2, 3]
        assert [record.position for record in records] == [1, 2, 3]

    async def test_another_version_is_a_conflict_that_brings_what_was_missed(
        self, store: EventStore
    ) -> None:
        await store.append(append_of(account(), 0, Opened("ann"), Deposited(5), Deposited(7)))

        outcome = await store.append(append_of(account(), 1, Deposited(9)))

        assert isinstance(outcome, Conflicted)
        assert outcome.head == 3
        missed = [event for record in outcome.missed for event in registry.decode_all(record)]
        assert missed == [Deposited(5), Deposited(7)]
        assert await store.head(account()) == 3

    async def test_expecting_more_than_there_is_is_a_conflict_with_nothing_missed(
        self, store: EventStore
    ) -> None:
        await store.append(append_of(account(), 0, Opened("ann")))

        outcome = await store.append(append_of(account(), 7, Deposited(9)))

        assert outcome == Conflicted(1, [])

    async def test_the_same_command_again_is_a_duplicate_with_the_original_answer(
        self, store: EventStore
    ) -> None:
        append = append_of(account(), 0, Opened("ann"), Deposited(5), command="c1")
        first = await store.append(append)
        await store.append(append_of(account(), 2, Deposited(9)))

        again = await store.append(append)

        assert isinstance(first, Committed)
        assert isinstance(again, Duplicate)
        assert [r.version for r in again.records] == [1, 2]
        assert [r.position for r in again.records] == [first.position, first.position + 1]
        assert [r.occurred_at_us for r in again.records] == [first.occurred_at_us] * 2
        assert await store.head(account()) == 3

    async def test_a_duplicate_answers_with_the_events_of_that_command_alone(
        self, store: EventStore
    ) -> None:
        await store.append(append_of(account(), 0, Opened("ann"), command="c1"))
        await store.append(append_of(account(), 1, Deposited(1), command="c2"))

        again = await store.append(
            append_of(account(), 0, Opened("ann"), Opened("x"), command="c1")
        )

        assert isinstance(again, Duplicate)
        assert [registry.decode_all(record) for record in again.records] == [(Opened("ann"),)]

    async def test_many_appends_in_one_call_have_answers_of_their_own(
        self, store: EventStore
    ) -> None:
        await store.append(append_of(account("old"), 0, Opened("ann"), command="c1"))

        outcomes = await store.append_many(
            [
                append_of(account("new"), 0, Opened("bob")),
                append_of(account("old"), 0, Opened("ann"), command="c1"),
                append_of(account("old"), 1, Deposited(1)),
                append_of(account("old"), 0, Opened("eve")),
            ]
        )

        assert [type(outcome) for outcome in outcomes] == [
            Committed,
            Duplicate,
            Committed,
            Conflicted,
        ]
        assert await events_of(store, account("old")) == [Opened("ann"), Deposited(1)]

    async def test_appends_to_one_stream_in_one_call_follow_on_from_each_other(
        self, store: EventStore
    ) -> None:
        chain = [
            append_of(account(), 0, Opened("ann")),
            append_of(account(), 1, Deposited(1), Deposited(2)),
            append_of(account(), 3, Deposited(3)),
        ]

        outcomes = await store.append_many(chain)
        again = await store.append_many(chain)

        assert [o.version for o in outcomes if isinstance(o, Committed)] == [1, 2, 4]
        assert [type(outcome) for outcome in again] == [Duplicate] * 3
        assert await store.head(account()) == 4

    async def test_a_conflict_in_a_chain_takes_the_rest_of_it_along(
        self, store: EventStore
    ) -> None:
        outcomes = await store.append_many(
            [
                append_of(account(), 1, Deposited(1)),
                append_of(account(), 2, Deposited(2)),
                append_of(account("other"), 0, Opened("bob")),
            ]
        )

        assert [type(outcome) for outcome in outcomes] == [Conflicted, Conflicted, Committed]
        assert await store.head(account()) == 0

    async def test_a_chain_is_not_continued_where_another_writer_filled_its_gap(
        self, store: EventStore
    ) -> None:
        await store.append(append_of(account(), 0, Opened("eve"), Deposited(100)))

        outcomes = await store.append_many(
            [append_of(account(), version, Deposited(version)) for version in range(5)]
        )

        assert [type(outcome) for outcome in outcomes] == [Conflicted] * 5
        assert await events_of(store, account()) == [Opened("eve"), Deposited(100)]

    async def test_nor_after_an_append_that_was_refused(self, store: EventStore) -> None:
        await store.append(append_of(account(), 0, Opened("ann"), at=NOON))

        outcomes = await store.append_many(
            [
                append_of(account(), 1, Deposited(1), at=NOON - timedelta(days=1)),
                append_of(account(), 1, Deposited(2)),
            ]
        )

        assert [type(outcome) for outcome in outcomes] == [InvalidEvent, Conflicted]
        assert await store.head(account()) == 1

    async def test_one_of_many_writers_at_a_version_wins(self, store: EventStore) -> None:
        await store.append(append_of(account(), 0, Opened("ann")))

        outcomes = await asyncio.gather(
            *[store.append(append_of(account(), 1, Deposited(i))) for i in range(50)]
        )

        winners = [outcome for outcome in outcomes if isinstance(outcome, Committed)]
        assert len(winners) == 1
        assert await store.head(account()) == 2

    async def test_a_stream_in_a_broken_key_harms_only_itself(self, store: EventStore) -> None:
        await store.ask("SET", store.keys.stream(account("broken")), "no stream")

        outcomes = await store.append_many(
            [
                append_of(account("broken"), 0, Opened("ann")),
                append_of(account("sound"), 0, Opened("bob")),
            ]
        )

        assert isinstance(outcomes[0], ServerRefused)
        assert isinstance(outcomes[1], Committed)

    @pytest.mark.parametrize("count", [0, 1001])
    async def test_too_few_or_too_many_events_are_refused_before_anything_is_sent(
        self, store: EventStore, count: int
    ) -> None:
        with pytest.raises(InvalidEvent, match=f"has {count} events"):
            await store.append(append_of(account(), 0, *[Deposited(1)] * count))

        assert await store.head(account()) == 0

    async def test_an_append_of_too_many_bytes_is_refused(self, store: EventStore) -> None:
        large = [Deposited(1, note="x" * 900_000)] * 5

        with pytest.raises(InvalidEvent, match="4,000,000"):
            await store.append(append_of(account(), 0, *large))

        assert await store.head(account()) == 0


class TestFeed:
    async def test_the_feed_points_to_every_event_of_its_partition_in_order(
        self, store: EventStore
    ) -> None:
        streams = [account(str(i)) for i in range(40)]
        for version in range(3):
            await store.append_many([append_of(s, version, Deposited(version)) for s in streams])

        for partition in range(store.keys.partitions):
            mine = [s for s in streams if store.keys.partition(s) == partition]
            records = await store.fetch(await store.pointers(partition, after=0))
            assert [r.position for r in records] == list(range(1, 3 * len(mine) + 1))
            assert [(r.stream, r.version) for r in records] == [
                (s, version) for version in (1, 2, 3) for s in mine
            ]
            assert await store.feed_head(partition) == 3 * len(mine)

    async def test_the_feed_can_be_read_on_from_any_position(self, store: EventStore) -> None:
        await store.append(append_of(account(), 0, *[Deposited(i) for i in range(10)]))
        partition = store.keys.partition(account())

        pointers = await store.pointers(partition, after=4, limit=3)

        assert [pointer.position for pointer in pointers] == [5, 6, 7]
        assert [r.version for r in await store.fetch(pointers)] == [5, 6, 7]

    async def test_an_empty_feed_is_empty(self, store: EventStore) -> None:
        assert await store.pointers(0, after=0) == []
        assert await store.feed_head(0) == 0
        assert await store.fetch([]) == []


class TestReading:
    @pytest.fixture(autouse=True)
    async def ten_events(self, store: EventStore) -> None:
        events = [Deposited(i) for i in range(1, 11)]
        await store.append(append_of(account(), 0, *events, at=NOON))

    async def test_forwards(self, store: EventStore) -> None:
        assert await events_of(store, account()) == [Deposited(i) for i in range(1, 11)]

    async def test_by_version_range(self, store: EventStore) -> None:
        assert await events_of(store, account(), first=3, last=5) == [
            Deposited(3),
            Deposited(4),
            Deposited(5),
        ]
        assert await events_of(store, account(), first=9) == [Deposited(9), Deposited(10)]
        assert await events_of(store, account(), first=5, last=4) == []

    async def test_as_of_a_moment(self, store: EventStore) -> None:
        until = NOON + timedelta(minutes=2)

        assert len(await events_of(store, account(), until=until)) == 3
        just_before = until - timedelta(microseconds=1)
        assert len(await events_of(store, account(), until=just_before)) == 2
        assert await events_of(store, account(), until=NOON - timedelta(days=1)) == []

    async def test_with_a_limit(self, store: EventStore) -> None:
        assert await events_of(store, account(), limit=2) == [Deposited(1), Deposited(2)]
        assert await events_of(store, account(), limit=0) == []

    async def test_backwards(self, store: EventStore) -> None:
        records = [r async for r in store.read_backwards(account(), last=4, limit=3)]
        assert [r.version for r in records] == [4, 3, 2]
        everything = [r.version async for r in store.read_backwards(account())]
        assert everything == list(range(10, 0, -1))
        assert [r async for r in store.read_backwards(account("none"))] == []

    async def test_a_stream_longer_than_a_page(self, store: EventStore) -> None:
        for start in range(0, 1500, 500):
            batch = [Deposited(i) for i in range(start, start + 500)]
            await store.append(append_of(account("long"), start, *batch))

        assert len(await events_of(store, account("long"))) == 1500
        assert len(await events_of(store, account("long"), limit=700)) == 700
        backwards = [r.version async for r in store.read_backwards(account("long"))]
        assert backwards == list(range(1500, 0, -1))

    async def test_a_missing_version_is_an_error_not_a_shorter_stream(
        self, store: EventStore
    ) -> None:
        await store.ask("XDEL", store.keys.stream(account()), "0-4")

        with pytest.raises(StreamGap, match="version 5 where 4 should be"):
            await events_of(store, account())

    async def test_changed_bytes_are_noticed(self, store: EventStore) -> None:
        key = store.keys.stream(account("copied"))
        (entry,) = await store.ask("XRANGE", store.keys.stream(account()), "0-1", "0-1")
        await store.ask("XADD", key, "0-1", *entry[1])

        with pytest.raises(ChecksumMismatch, match="version 1 of account/copied"):
            await events_of(store, account("copied"))


class TestMoments:
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
        swapped = append._replace(events=list(reversed(append.events)))

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


class TestSharing:
    async def test_two_stores_on_one_server_see_each_other(
        self, store: EventStore, url: str, namespace: str
    ) -> None:
        async with open_store(url, namespace=namespace) as other:
            assert other.identity == store.identity
            await other.append(append_of(account(), 0, Weighed(1.5, ("a", "b"))))

        assert await events_of(store, account()) == [Weighed(1.5, ("a", "b"))]

    async def test_a_namespace_keeps_stores_apart(
        self, store: EventStore, url: str, namespace: str
    ) -> None:
        async with open_store(url, namespace=f"{namespace}-b") as other:
            await other.append(append_of(account(), 0, Opened("ann")))

        assert await store.head(account()) == 0

    async def test_a_script_that_the_server_forgot_is_sent_again(self, store: EventStore) -> None:
        await store.append(append_of(account(), 0, Opened("ann")))
        await store.ask("SCRIPT", "FLUSH")

        outcome: Outcome = await store.append(append_of(account(), 1, Deposited(1)))

        assert isinstance(outcome, Committed)

    async def test_positions_and_versions_stay_exact_beyond_what_floats_print(
        self, store: EventStore
    ) -> None:
        last = 10**14
        fields = ("t", "Opened", "s", 1, "d", "{}", "c", "x", "o", 1, "p", 1, "k", 0)
        await store.ask("XADD", store.keys.stream(account()), f"0-{last}", *fields)

        outcome = await store.append(append_of(account(), last, Deposited(1)))

        assert isinstance(outcome, Committed)
        assert outcome.version == last + 1
        (entry,) = await store.ask("XREVRANGE", store.keys.stream(account()), "+", "-", "COUNT", 1)
        assert entry[0] == b"0-100000000000001"
