"""What one append does, and what its answers bring."""

import asyncio

import pytest
from msgspec.structs import replace

from whence.store.append import MAX_APPEND_BYTES, Committed, Conflicted, NewEvent
from whence.store.errors import InvalidEvent
from whence.store.eventstore import EventStore
from whence.store.metadata import Metadata, encode_metadata
from whence.testing.conformance.accounts import Deposited, Opened, account, append_of, registry
from whence.testing.conformance.reads import events_of, listed
from whence.testing.conformance.suite import Suite


class Appending(Suite):
    """An append happens at the version it was decided from, whole, or not at all."""

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

    async def test_a_conflict_brings_no_more_than_a_hundred_missed_events(
        self, store: EventStore
    ) -> None:
        await store.append(append_of(account(), 0, *[Deposited(1)] * 150))

        outcome = await store.append(append_of(account(), 0, Opened("ann")))

        assert isinstance(outcome, Conflicted)
        assert outcome.head == 150
        assert [record.version for record in outcome.missed] == list(range(1, 101))

    async def test_one_of_many_writers_at_a_version_wins(self, store: EventStore) -> None:
        await store.append(append_of(account(), 0, Opened("ann")))

        outcomes = await asyncio.gather(
            *[store.append(append_of(account(), 1, Deposited(i))) for i in range(50)]
        )

        winners = [outcome for outcome in outcomes if isinstance(outcome, Committed)]
        assert len(winners) == 1
        assert await store.head(account()) == 2

    @pytest.mark.parametrize(
        "owner",
        ["", "żółw 🐢", "\0\r\n{}:'", "x" * 900_000],
        ids=["empty", "beyond ASCII", "control characters", "long"],
    )
    async def test_any_text_comes_back_as_it_was(self, store: EventStore, owner: str) -> None:
        await store.append(append_of(account(), 0, Opened(owner)))

        assert await events_of(store, account()) == [Opened(owner)]

    async def test_metadata_and_command_id_stand_with_each_event(self, store: EventStore) -> None:
        metadata = Metadata(who="ann", notes={"ticket": "7"})
        append = append_of(account(), 0, Opened("ann"), Deposited(1), command="c1")
        known = [NewEvent(event.encoded, encode_metadata(metadata)) for event in append.events]

        await store.append(replace(append, events=known))

        records = await listed(store.read(account()))
        assert [record.metadata for record in records] == [metadata] * 2
        assert [record.command_id for record in records] == ["c1"] * 2

    @pytest.mark.parametrize("count", [0, 1001])
    async def test_too_few_or_too_many_events_are_refused_before_anything_is_sent(
        self, store: EventStore, count: int
    ) -> None:
        with pytest.raises(InvalidEvent, match=f"has {count} events"):
            await store.append(append_of(account(), 0, *[Deposited(1)] * count))

        assert await store.head(account()) == 0

    async def test_as_many_events_as_allowed_are_stored(self, store: EventStore) -> None:
        await store.append(append_of(account(), 0, *map(Deposited, range(1000))))

        assert await events_of(store, account()) == [Deposited(i) for i in range(1000)]

    async def test_an_append_of_too_many_bytes_is_refused(self, store: EventStore) -> None:
        large = [Deposited(1, note="x" * 900_000)] * 5

        with pytest.raises(InvalidEvent, match="4,000,000"):
            await store.append(append_of(account(), 0, *large))

        assert await store.head(account()) == 0

    async def test_as_many_bytes_as_allowed_are_stored(self, store: EventStore) -> None:
        events = [Deposited(1, note="x" * (MAX_APPEND_BYTES // 5 - 100))] * 5

        await store.append(append_of(account(), 0, *events))

        assert await events_of(store, account()) == events
