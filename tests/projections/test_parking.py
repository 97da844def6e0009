"""Poison events: one aggregate's events wait, in their order, and everything else goes on."""

from typing import ClassVar

import anyio
import pytest

from tests.projections.domain import (
    Delivered,
    ParcelRow,
    Parcels,
    Sent,
    Weighed,
    model,
    only,
    parcel,
    parcels,
    record,
    until,
    view_of,
    working,
)
from tests.projections.stored import damage
from whence.projections.parked import (
    ParkedSequence,
    parked_counts,
    parked_sequences,
    skipped_events,
)
from whence.projections.projection import on
from whence.projections.rebuild import rebuild
from whence.projections.requests import retry, skip
from whence.projections.settings import WorkerSettings
from whence.projections.status import status, wait_until_caught_up
from whence.projections.views import Views
from whence.store.errors import InvalidInput, NotParked
from whence.store.eventstore import EventStore
from whence.store.ids import StreamId
from whence.store.recorded import Recorded

# Tries once: what comes next is a person.
ONCE = WorkerSettings(lease_ms=3_000, poll_ms=50, retry_ms=20, longest_retry_ms=100, attempts=1)


class Fragile(Parcels, name="parcels"):
    """Cannot weigh parcels while it is broken, or only some of them."""

    broken: ClassVar[bool] = True
    weights: ClassVar[set[int]] = set()

    @on(Weighed)
    def weighed(self, event: Weighed, record: Recorded, views: Views[ParcelRow]) -> None:
        if self.broken and (not self.weights or event.grams in self.weights):
            raise ArithmeticError(f"{event.grams} grams")
        super().weighed(event, record, views)


@pytest.fixture(autouse=True)
def _mended_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Fragile, "broken", True)
    monkeypatch.setattr(Fragile, "weights", set[int]())


fragile = only(Fragile)


async def parked_of(store: EventStore) -> dict[StreamId, ParkedSequence]:
    return {found.stream: found for found in await parked_sequences(store, parcels)}


async def beside(store: EventStore, stream: StreamId) -> StreamId:
    """Another parcel of the same partition."""
    number = store.keys.partition(stream)
    return next(s for s in map(parcel, range(100, 999)) if store.keys.partition(s) == number)


class TestAPoisonEvent:
    async def test_parks_its_aggregate_and_everything_else_flows(self, store: EventStore) -> None:
        poisoned = parcel(1)
        other = await beside(store, poisoned)
        await record(store, poisoned, Sent("Riga"), Weighed(5), Delivered())
        async with working(store, fragile, ONCE):
            await wait_until_caught_up(store, parcels)
            await record(store, other, Sent("Oslo"))
            await record(store, poisoned, Delivered())
            await wait_until_caught_up(store, parcels)
            found = await status(store, parcels)
        assert await view_of(store, parcels) == {
            poisoned.id: ParcelRow("Riga", 0),
            other.id: ParcelRow("Oslo", 0),
        }
        (parked,) = await parked_sequences(store, parcels)
        assert (parked.stream, parked.partition) == (poisoned, store.keys.partition(poisoned))
        assert (parked.note.version, parked.note.position, parked.note.type) == (2, 2, "Weighed")
        assert parked.note.reason == "ArithmeticError: 5 grams"
        assert parked.waiting == 3
        assert found[parked.partition].parked == 1
        assert found[parked.partition].failure == ""
        assert await parked_counts(store, model.projections.values()) == {
            "parcels": 1, "cities": 0, "counts": 0,
        }  # fmt: skip

    async def test_of_a_change_is_parked_like_one_of_a_handler(self, store: EventStore) -> None:
        poisoned = parcel(1)
        other = await beside(store, poisoned)
        await record(store, poisoned, Weighed(5))  # no row to update: it was never sent
        await record(store, other, Sent("Oslo"))
        await record(store, poisoned, Delivered())
        async with working(store, only(Parcels), ONCE):
            await wait_until_caught_up(store, parcels)
        assert await view_of(store, parcels) == {other.id: ParcelRow("Oslo", 0)}
        note = (await parked_of(store))[poisoned].note
        assert note.version == 1
        assert "an update without start needs the row" in note.reason

    async def test_is_tried_again_by_itself_so_often_and_then_waits(
        self, store: EventStore
    ) -> None:
        settings = WorkerSettings(
            lease_ms=3_000, poll_ms=10, retry_ms=1, longest_retry_ms=2, attempts=3
        )
        await record(store, parcel(1), Sent("Riga"), Weighed(5))
        async with working(store, fragile, settings):
            await until_tried(store, 3)
        # Another worker may run other code, so it tries once more, and no more often.
        async with working(store, fragile, settings):
            await until_tried(store, 4)
            await record(store, parcel(2), Sent("Riga"), Weighed(5))
            await until_tried(store, 3, 2)
        assert (await parked_of(store))[parcel(1)].note.attempts == 4

    async def test_that_the_next_release_can_apply_is_applied_when_that_one_starts(
        self, store: EventStore
    ) -> None:
        await record(store, parcel(1), Sent("Riga"), Weighed(5))
        async with working(store, fragile, ONCE):
            await wait_until_caught_up(store, parcels)
            await until_tried(store, 1)
        async with working(store, only(Parcels), ONCE):
            await until(store, lambda found: not any(x.parked for x in found), parcels)
        assert await view_of(store, parcels) == {"1": ParcelRow("Riga", 5, events=2)}

    async def test_that_heals_by_itself_is_applied_in_order(
        self, store: EventStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await record(store, parcel(1), Sent("Riga"), Weighed(5), Weighed(6), Delivered())
        async with working(store, fragile):
            await until_tried(store, 2)
            monkeypatch.setattr(Fragile, "broken", False)
            await until(store, lambda found: not any(x.parked for x in found), parcels)
        assert await view_of(store, parcels) == {"1": ParcelRow("Riga", 6, True, 4)}

    async def test_keeps_its_first_moment_however_often_it_fails(self, store: EventStore) -> None:
        await record(store, parcel(1), Sent("Riga"), Weighed(5))
        async with working(store, fragile):
            await until_tried(store, 1)
            since = (await parked_of(store))[parcel(1)].since
            await until_tried(store, 3)
        assert (await parked_of(store))[parcel(1)].since == since

    async def test_that_many_aggregates_have_halts_the_partition(self, store: EventStore) -> None:
        settings = WorkerSettings(lease_ms=3_000, poll_ms=50, retry_ms=20, most_parked=2)
        number = store.keys.partition(parcel(1))
        streams = [s for s in map(parcel, range(99)) if store.keys.partition(s) == number][:4]
        for stream in streams:
            await record(store, stream, Sent("Riga"), Weighed(5))
        async with working(store, fragile, settings):
            found = await until(store, lambda found: found[number].failure != "", parcels)
        assert found[number].parked == 2
        assert found[number].position == 5
        assert f"cannot apply Weighed, version 2 of {streams[2]}" in found[number].failure
        assert "2 aggregates of this partition are parked" in found[number].failure

    async def test_of_thousands_leaves_one_small_note(self, store: EventStore) -> None:
        stream = parcel(1)
        await record(store, stream, Sent("Riga"), Weighed(5))
        async with working(store, fragile, ONCE):
            await wait_until_caught_up(store, parcels)
            key = store.keys.parked(store.keys.partition(stream), "parcels")
            before = await store.ask("HGETALL", key)
            for _ in range(20):
                await record(store, stream, *[Weighed(n) for n in range(100)])
            await wait_until_caught_up(store, parcels)
        assert await store.ask("HGETALL", key) == before
        assert (await parked_of(store))[stream].waiting == 2_001


async def until_tried(store: EventStore, times: int, number: int = 1) -> None:
    with anyio.fail_after(10):
        while True:
            found = (await parked_of(store)).get(parcel(number))
            if found is not None and found.note.attempts >= times:
                return
            await anyio.sleep(0.005)


class TestARetry:
    async def test_applies_the_sequence_in_order_and_atomically(
        self, store: EventStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        stream = parcel(1)
        await record(store, stream, Sent("Riga"), *[Weighed(n) for n in range(50)], Delivered())
        async with working(
            store, fragile, WorkerSettings(lease_ms=3_000, poll_ms=50, attempts=1, batch=7)
        ):
            await wait_until_caught_up(store, parcels)
            monkeypatch.setattr(Fragile, "broken", False)
            answer = await retry(store, parcels, stream)
            assert answer.outcome == "applied"
            await record(store, stream, Weighed(77))
            await wait_until_caught_up(store, parcels)
        assert await parked_sequences(store, parcels) == []
        assert await view_of(store, parcels) == {"1": ParcelRow("Riga", 77, True, 53)}

    async def test_says_what_failed_this_time(self, store: EventStore) -> None:
        await record(store, parcel(1), Sent("Riga"), Weighed(5))
        async with working(store, fragile, ONCE):
            await wait_until_caught_up(store, parcels)
            answer = await retry(store, parcels, parcel(1))
        assert answer.outcome == "parked"
        assert answer.note is not None
        assert (answer.note.version, answer.note.attempts) == (2, 2)
        assert answer.note.reason == "ArithmeticError: 5 grams"

    async def test_goes_on_to_the_next_event_that_fails(
        self, store: EventStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(Fragile, "weights", {5, 7})
        stream = parcel(1)
        await record(store, stream, Sent("Riga"), Weighed(5), Weighed(6), Weighed(7), Delivered())
        async with working(store, fragile, ONCE):
            await wait_until_caught_up(store, parcels)
            monkeypatch.setattr(Fragile, "weights", {7})
            answer = await retry(store, parcels, stream)
        assert answer.outcome == "parked"
        assert answer.note is not None
        assert (answer.note.version, answer.note.position, answer.note.attempts) == (4, 4, 1)
        assert await view_of(store, parcels) == {"1": ParcelRow("Riga", 6, events=3)}
        assert (await parked_of(store))[stream].waiting == 2

    async def test_is_done_here_where_no_worker_is(self, store: EventStore) -> None:
        await record(store, parcel(1), Sent("Riga"), Weighed(5))
        async with working(store, fragile, ONCE):
            await wait_until_caught_up(store, parcels)
        answer = await retry(store, parcels, parcel(1))  # ``parcels`` is not fragile
        assert answer.outcome == "applied"
        assert await view_of(store, parcels) == {"1": ParcelRow("Riga", 5, events=2)}
        assert {x.owner for x in await status(store, parcels)} == {""}

    async def test_of_what_is_not_parked_is_refused(self, store: EventStore) -> None:
        with pytest.raises(NotParked, match="no event of parcel/1 is parked by projection parcels"):
            await retry(store, parcels, parcel(1))

    async def test_that_nobody_does_stays_asked(self, store: EventStore) -> None:
        await record(store, parcel(1), Sent("Riga"), Weighed(5))
        async with working(store, fragile, ONCE):
            await wait_until_caught_up(store, parcels)
        number = store.keys.partition(parcel(1))
        lease = store.keys.lease(number, "parcels")
        await store.ask("SET", lease, "a worker that has just died")
        answer = await retry(store, parcels, parcel(1), timeout_s=0.01)
        assert answer.outcome == "open"
        await store.ask("DEL", lease)
        async with working(store, only(Parcels), ONCE):
            await until(store, lambda found: found[number].parked == 0, parcels)
        assert await store.ask("EXISTS", store.keys.asked(number, "parcels")) == 0

    async def test_of_an_event_that_the_log_has_lost_halts(self, store: EventStore) -> None:
        stream = parcel(1)
        number = store.keys.partition(stream)
        await record(store, await beside(store, stream), Sent("Oslo"))
        await record(store, stream, Weighed(5))
        await record(store, await beside(store, stream), Delivered())
        async with working(store, fragile, ONCE):
            await wait_until_caught_up(store, parcels)
            await store.ask("DEL", store.keys.stream(stream))
            await retry(store, parcels, stream, timeout_s=0)
            found = await until(store, lambda found: found[number].failure != "", parcels)
        assert f"version 1 of {stream} is parked by projection parcels and is not in" in (
            found[number].failure
        )
        assert found[number].parked == 1


class TestASkip:
    async def test_does_without_one_event_and_is_recorded(
        self, store: EventStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(Fragile, "weights", {5})
        stream = parcel(1)
        await record(store, stream, Sent("Riga"), Weighed(5), Weighed(6), Delivered())
        async with working(store, fragile, ONCE):
            await wait_until_caught_up(store, parcels)
            answer = await skip(store, parcels, stream, "the scales were broken")
        assert answer.outcome == "applied"
        assert await view_of(store, parcels) == {"1": ParcelRow("Riga", 6, True, 3)}
        (event,) = await skipped_events(store, parcels)
        assert (event.stream, event.version, event.skip.position) == (stream, 2, 2)
        assert (event.skip.type, event.skip.failure) == ("Weighed", "ArithmeticError: 5 grams")
        assert event.skip.reason == "the scales were broken"
        assert "@" in event.skip.by
        assert event.moment >= (await anext(aiter(store.read(stream)))).occurred_at

    async def test_of_the_only_event_that_waits_leaves_nothing_parked(
        self, store: EventStore
    ) -> None:
        await record(store, parcel(1), Sent("Riga"), Weighed(5))
        async with working(store, fragile, ONCE):
            await wait_until_caught_up(store, parcels)
            assert (await skip(store, parcels, parcel(1), "no")).outcome == "applied"
            await record(store, parcel(1), Delivered())
            await wait_until_caught_up(store, parcels)
        assert await view_of(store, parcels) == {"1": ParcelRow("Riga", 0, True, 2)}

    async def test_is_of_the_event_that_the_person_saw(self, store: EventStore) -> None:
        """What is skipped must not be the event that came to be the first one meanwhile."""
        await record(store, parcel(1), Sent("Riga"), Weighed(5), Weighed(6))
        async with working(store, fragile, ONCE):
            await wait_until_caught_up(store, parcels)
        number = store.keys.partition(parcel(1))
        lease = store.keys.lease(number, "parcels")
        await store.ask("SET", lease, "a worker that has just died")
        await skip(store, parcels, parcel(1), "the scales were broken", timeout_s=0)
        asked = store.keys.asked(number, "parcels")
        ((_, request),) = [await store.ask("HGETALL", asked)]
        await store.ask("HSET", asked, "parcel/1", request.replace(b'"version":2', b'"version":1'))
        await store.ask("DEL", lease)
        async with working(store, fragile, ONCE):
            with anyio.fail_after(10):
                while await store.ask("EXISTS", asked):
                    await anyio.sleep(0.01)
        assert await skipped_events(store, parcels) == []
        assert (await parked_of(store))[parcel(1)].note.version == 2

    @pytest.mark.parametrize("reason", ["", "  ", "x" * 501, "a\nb", "\udcff"])
    async def test_needs_a_reason_that_others_can_read(
        self, store: EventStore, reason: str
    ) -> None:
        with pytest.raises(InvalidInput, match="is not a reason that others can read"):
            await skip(store, parcels, parcel(1), reason)

    async def test_lets_a_damaged_event_go_and_keeps_the_next_ones(self, store: EventStore) -> None:
        stream = parcel(1)
        await record(store, stream, Sent("Riga"), Weighed(5), Weighed(6), Weighed(7), Delivered())
        await damage(store, stream, {2, 4})
        async with working(store, only(Parcels), ONCE):
            await wait_until_caught_up(store, parcels)
            first = await skip(store, parcels, stream, "a bit flipped")
            assert (first.outcome, first.note and first.note.version) == ("parked", 4)
            assert (await skip(store, parcels, stream, "another")).outcome == "applied"
        assert await view_of(store, parcels) == {"1": ParcelRow("Riga", 6, True, 3)}

    async def test_does_not_pass_over_what_stands_before_a_damaged_event(
        self, store: EventStore
    ) -> None:
        stream = parcel(1)
        await record(store, stream, Sent("Riga"), Weighed(5))
        async with working(store, fragile, ONCE):
            await wait_until_caught_up(store, parcels)
        # The next worker can weigh. It looks at the parked event while its feed is two events back.
        await record(store, stream, Delivered(), Weighed(6))
        await damage(store, stream, {4})
        async with working(store, only(Parcels), ONCE):
            await wait_until_caught_up(store, parcels)
            with anyio.fail_after(20):
                while {found.note.version for found in (await parked_of(store)).values()} != {4}:
                    await anyio.sleep(0.01)
        assert (await view_of(store, parcels))["1"] == ParcelRow("Riga", 5, True, 3)


class TestARebuild:
    async def test_forgets_what_is_parked_and_parks_anew(self, store: EventStore) -> None:
        await record(store, parcel(1), Sent("Riga"), Weighed(5), Delivered())
        async with working(store, fragile, ONCE):
            await wait_until_caught_up(store, parcels)
        live = await view_of(store, parcels)
        before = await parked_of(store)
        report = await rebuild(store, fragile.projection("parcels"))
        assert report.parked == 1
        assert await view_of(store, parcels) == live
        after = await parked_of(store)
        assert after.keys() == before.keys()
        assert after[parcel(1)].since > before[parcel(1)].since
        report = await rebuild(store, parcels)
        assert report.parked == 0
        assert await parked_of(store) == {}
        assert await view_of(store, parcels) == {"1": ParcelRow("Riga", 5, True, 3)}

    @pytest.mark.parametrize("forget", [False, True])
    async def test_equals_the_live_view_with_its_skips(
        self, store: EventStore, monkeypatch: pytest.MonkeyPatch, forget: bool
    ) -> None:
        await record(store, parcel(1), Sent("Riga"), Weighed(5), Delivered())
        async with working(store, fragile, ONCE):
            await wait_until_caught_up(store, parcels)
            await skip(store, parcels, parcel(1), "no")
        live = await view_of(store, parcels)
        await rebuild(store, parcels, forget_skips=forget)
        whole = {"1": ParcelRow("Riga", 5, True, 3)}
        assert await view_of(store, parcels) == (whole if forget else live)
        assert len(await skipped_events(store, parcels)) == (0 if forget else 1)


async def test_a_view_without_a_checkpoint_begins_anew_with_nothing_parked(
    store: EventStore,
) -> None:
    await record(store, parcel(1), Sent("Riga"), Weighed(5))
    async with working(store, fragile, ONCE):
        await wait_until_caught_up(store, parcels)
    await store.ask("DEL", store.keys.checkpoint(store.keys.partition(parcel(1)), "parcels"))
    async with working(store, only(Parcels), ONCE):
        await wait_until_caught_up(store, parcels)
    assert await parked_of(store) == {}
    assert await view_of(store, parcels) == {"1": ParcelRow("Riga", 5, events=2)}
