"""Many appends in one call."""

from datetime import timedelta

from whence.store.append import Committed, Conflicted, Duplicate
from whence.store.errors import InvalidEvent
from whence.store.eventstore import EventStore
from whence.testing.conformance.accounts import NOON, Deposited, Opened, account, append_of
from whence.testing.conformance.reads import events_of
from whence.testing.conformance.suite import Suite


class Rows(Suite):
    """Each append of a call has an answer of its own; those to one stream form a chain."""

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

    async def test_a_chain_is_not_continued_after_an_append_that_was_refused(
        self, store: EventStore
    ) -> None:
        await store.append(append_of(account(), 0, Opened("ann"), at=NOON))

        outcomes = await store.append_many(
            [
                append_of(account(), 1, Deposited(1), at=NOON - timedelta(days=1)),
                append_of(account(), 1, Deposited(2)),
            ]
        )

        assert [type(outcome) for outcome in outcomes] == [InvalidEvent, Conflicted]
        assert await store.head(account()) == 1

    async def test_a_chain_goes_on_from_the_part_of_it_that_is_stored(
        self, store: EventStore
    ) -> None:
        chain = [append_of(account(), version, Deposited(version)) for version in range(4)]
        await store.append_many(chain[:2])

        outcomes = await store.append_many(chain)

        assert [type(outcome) for outcome in outcomes] == [Duplicate] * 2 + [Committed] * 2
        assert await events_of(store, account()) == [Deposited(i) for i in range(4)]
