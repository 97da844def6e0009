"""A command is stored once, however often it is sent."""

import asyncio

import pytest

from whence.store.append import Append, Committed, Conflicted, Duplicate, Remember
from whence.store.errors import CommandIdReused
from whence.store.eventstore import EventStore
from whence.testing.conformance.accounts import Deposited, Opened, account, append_of, registry
from whence.testing.conformance.reads import events_of
from whence.testing.conformance.suite import Suite

DAY = Remember("body", 86_400_000)


def remembered(expected: int, amount: int, remember: Remember = DAY) -> Append:
    """An append of the command c1, whose id the caller gave."""
    return append_of(account(), expected, Deposited(amount), command="c1", remember=remember)


class Commands(Suite):
    """A command id at its own version, and one that is remembered at any."""

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

    async def test_another_command_at_a_taken_version_is_a_conflict(
        self, store: EventStore
    ) -> None:
        await store.append(append_of(account(), 0, Opened("ann"), command="c1"))

        outcome = await store.append(append_of(account(), 0, Opened("ann"), command="c2"))

        assert isinstance(outcome, Conflicted)

    async def test_a_remembered_command_is_a_duplicate_at_any_version(
        self, store: EventStore
    ) -> None:
        first = await store.append(remembered(0, 5))
        await store.append(append_of(account(), 1, Deposited(7)))

        again = await store.append(remembered(2, 5))

        assert isinstance(first, Committed)
        assert isinstance(again, Duplicate)
        assert [(r.version, r.position) for r in again.records] == [(1, first.position)]
        assert await events_of(store, account()) == [Deposited(5), Deposited(7)]

    async def test_what_a_remembered_command_stored_can_be_recalled(
        self, store: EventStore
    ) -> None:
        assert await store.recall(account(), "c1", "body") is None
        await store.append(remembered(0, 5))

        records = await store.recall(account(), "c1", "body")

        assert records is not None
        assert [registry.decode_all(record) for record in records] == [(Deposited(5),)]
        assert await store.recall(account("other"), "c1", "body") is None

    async def test_a_remembered_id_is_refused_for_another_command(self, store: EventStore) -> None:
        await store.append(remembered(0, 5))

        with pytest.raises(CommandIdReused, match="'c1' was used for another command"):
            await store.append(remembered(1, 6, DAY._replace(body="another")))
        with pytest.raises(CommandIdReused):
            await store.recall(account(), "c1", "another")
        assert await store.head(account()) == 1

    async def test_a_command_that_is_not_stored_is_not_remembered(self, store: EventStore) -> None:
        await store.append(append_of(account(), 0, Opened("ann")))

        assert isinstance(await store.append(remembered(0, 5)), Conflicted)

        assert await store.recall(account(), "c1", "body") is None
        assert isinstance(await store.append(remembered(1, 5)), Committed)

    async def test_the_same_remembered_command_twice_in_one_call_is_stored_once(
        self, store: EventStore
    ) -> None:
        outcomes = await store.append_many([remembered(0, 5), remembered(1, 5)])

        assert [type(outcome) for outcome in outcomes] == [Committed, Conflicted]
        assert await store.head(account()) == 1

    async def test_a_command_is_remembered_for_as_long_as_asked_and_no_longer(
        self, store: EventStore
    ) -> None:
        await store.append(remembered(0, 5))
        key = store.keys.command(account(), "c1")
        assert DAY.milliseconds - 60_000 < await store.ask("PTTL", key) <= DAY.milliseconds

        await store.append(
            append_of(account("brief"), 0, Deposited(5), command="c2", remember=Remember("b", 1))
        )
        async with asyncio.timeout(10):
            while await store.recall(account("brief"), "c2", "b") is not None:
                await asyncio.sleep(0.001)
