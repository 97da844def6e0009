"""What is said when the server holds something else than what was written."""

from itertools import islice

import pytest

from whence.store.append import Committed, Conflicted, Duplicate
from whence.store.errors import (
    ChecksumMismatch,
    CorruptStore,
    FeedGap,
    ServerRefused,
    StreamGap,
)
from whence.store.eventstore import EventStore
from whence.store.reading import read_feed
from whence.testing.conformance.accounts import Deposited, Opened, account, append_of
from whence.testing.conformance.reads import events_of, feed_of, listed
from whence.testing.conformance.suite import Suite


async def ten_events(store: EventStore) -> None:
    await store.append(append_of(account(), 0, *[Deposited(i) for i in range(10)]))


class Damage(Suite):
    """Events that are lost or changed are an error, never another history."""

    async def test_a_missing_version_is_an_error_not_a_shorter_stream(
        self, store: EventStore
    ) -> None:
        await ten_events(store)
        await store.ask("XDEL", store.keys.stream(account()), "0-4")

        with pytest.raises(StreamGap, match="version 5 where 4 should be"):
            await events_of(store, account())

    async def test_a_missing_version_does_not_bring_a_writer_who_is_behind_to_the_end(
        self, store: EventStore
    ) -> None:
        await ten_events(store)
        await store.ask("XDEL", store.keys.stream(account()), "0-4")

        behind = append_of(account(), 9, Deposited(9), after_us=1)
        outcomes = await store.append_many([append_of(account("sound"), 0, Opened("bob")), behind])

        assert isinstance(outcomes[0], Committed)
        assert isinstance(outcomes[1], Conflicted)
        assert outcomes[1].head == 10

    async def test_a_missing_version_does_not_make_a_repeated_append_a_second_one(
        self, store: EventStore
    ) -> None:
        await ten_events(store)
        row = [
            append_of(account(), 10 + n, Deposited(n), command=f"c{n}", after_us=1)
            for n in range(2)
        ]
        first = await store.append_many(row)
        for version in (4, 5):
            await store.ask("XDEL", store.keys.stream(account()), f"0-{version}")

        again = await store.append_many(row)

        assert [type(outcome) for outcome in first] == [Committed, Committed]
        assert [type(outcome) for outcome in again] == [Duplicate, Duplicate]
        assert await store.head(account()) == 12

    async def test_a_missing_version_does_not_keep_the_next_one_out(
        self, store: EventStore
    ) -> None:
        await ten_events(store)
        await store.ask("XDEL", store.keys.stream(account()), "0-4")

        outcome = await store.append(append_of(account(), 10, Deposited(10), after_us=1))

        assert isinstance(outcome, Committed)
        assert outcome.version == 11

    async def test_a_version_that_is_gone_is_not_given_again(self, store: EventStore) -> None:
        """The streams beside it have all their events, at positions that follow each other."""
        await ten_events(store)
        await store.ask("XDEL", store.keys.stream(account()), "0-10")
        partition = store.keys.partition(account())
        names = (account(f"beside-{n}") for n in range(9_999))
        one, two = islice((s for s in names if store.keys.partition(s) == partition), 2)

        outcomes = await store.append_many(
            [
                append_of(one, 0, Opened("ann"), Deposited(1)),
                append_of(account(), 9, Deposited(9), after_us=1),
                append_of(account(), 10, Deposited(10), after_us=1),
                append_of(two, 0, Opened("bob")),
            ]
        )

        assert isinstance(outcomes[0], Committed)
        assert isinstance(outcomes[1], CorruptStore)
        assert "has given version 10 before, and that event is gone" in str(outcomes[1])
        assert isinstance(outcomes[2], CorruptStore)
        assert isinstance(outcomes[3], Committed)
        assert (outcomes[0].position, outcomes[3].position) == (11, 13)
        assert await store.head(account()) == 9
        assert await store.feed_head(partition) == 13
        assert [record.position async for record in store.read(one)] == [11, 12]
        assert [record.position async for record in store.read(two)] == [13]

    async def test_a_missing_position_is_not_given_again(self, store: EventStore) -> None:
        await ten_events(store)
        await store.ask("XDEL", store.keys.feed(store.keys.partition(account())), "0-4")

        outcome = await store.append(append_of(account(), 10, Deposited(10)))

        assert isinstance(outcome, Committed)
        assert outcome.position == 11

    async def test_changed_bytes_are_noticed(self, store: EventStore) -> None:
        await ten_events(store)
        key = store.keys.stream(account("copied"))
        (entry,) = await store.ask("XRANGE", store.keys.stream(account()), "0-1", "0-1")
        await store.ask("XADD", key, "0-1", *entry[1])

        with pytest.raises(ChecksumMismatch, match="version 1 of account/copied"):
            await events_of(store, account("copied"))

    async def test_a_missing_position_is_an_error_not_a_shorter_feed(
        self, store: EventStore
    ) -> None:
        await ten_events(store)
        partition = store.keys.partition(account())
        await store.ask("XDEL", store.keys.feed(partition), "0-4")

        with pytest.raises(FeedGap, match="position 5 where 4 should be"):
            await feed_of(store, account())
        with pytest.raises(FeedGap, match="position 5 where 4 should be"):
            await listed(read_feed(store, partition, backwards=True))

    async def test_an_event_that_is_not_where_the_feed_says_is_noticed(
        self, store: EventStore
    ) -> None:
        await ten_events(store)
        await store.ask("XDEL", store.keys.stream(account()), "0-10")

        with pytest.raises(CorruptStore, match="names version 10 of account/42"):
            await feed_of(store, account())

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

    async def test_a_feed_in_a_broken_key_takes_no_event(self, store: EventStore) -> None:
        await store.ask("SET", store.keys.feed(store.keys.partition(account())), "no feed")

        with pytest.raises(ServerRefused, match="the feed of its partition is no stream"):
            await store.append(append_of(account(), 0, Opened("ann")))

        assert await store.head(account()) == 0

    async def test_a_feed_that_whence_did_not_write_takes_no_event(self, store: EventStore) -> None:
        await store.ask("XADD", store.keys.feed(store.keys.partition(account())), "5-0", "s", "x")

        with pytest.raises(ServerRefused, match="the feed of its partition"):
            await store.append(append_of(account(), 0, Opened("ann")))

        assert await store.head(account()) == 0

    async def test_an_entry_with_another_id_harms_only_its_stream(self, store: EventStore) -> None:
        await store.ask("XADD", store.keys.stream(account("strange")), "5-0", "o", 1)

        outcomes = await store.append_many(
            [
                append_of(account("strange"), 0, Opened("ann")),
                append_of(account("sound"), 0, Opened("bob")),
            ]
        )

        assert isinstance(outcomes[0], ServerRefused)
        assert isinstance(outcomes[1], Committed)

    async def test_a_stream_that_whence_did_not_write_takes_no_event(
        self, store: EventStore
    ) -> None:
        await store.ask("XADD", store.keys.stream(account()), "1-0", "name", "value")

        with pytest.raises(ServerRefused, match="not written by Whence"):
            await store.append(append_of(account(), 1, Opened("ann"), after_us=1))
        with pytest.raises(CorruptStore, match="an entry that Whence did not write"):
            await events_of(store, account())
