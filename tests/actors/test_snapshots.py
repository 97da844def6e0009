"""A snapshot makes loading shorter and never different."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterator
from datetime import timedelta
from typing import Any, Self

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.actors.domain import Counted, Counter, Labelled, model
from tests.store.domain import NOON
from whence import Aggregate, Runtime, command, replace
from whence.actors import load as loading
from whence.actors.history import state_at
from whence.actors.load import load
from whence.actors.model import WriteModel
from whence.actors.snapshot import FIELDS, Snapshot, SnapshotCodec
from whence.actors.snapshots import MAX_WAITING, Snapshots
from whence.store.append import Append, NewEvent
from whence.store.errors import StreamGap, StreamNotFound
from whence.store.eventstore import EventStore, open_store
from whence.store.ids import CommandIds, StreamId
from whence.store.recorded import microseconds

KIND = model.aggregate("counter")
LIE = Counter(1_000, "a lie")  # a state that no event of these tests gives
names = itertools.count()
command_ids = CommandIds()


@pytest.fixture(autouse=True)
def _small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream of four events is a long one."""
    monkeypatch.setattr(loading, "FIRST_PAGE", 3)
    monkeypatch.setattr(loading, "EVENTS_PER_TRIP", 3)


def counter(id_: str = "1") -> StreamId:
    return StreamId("counter", id_)


async def store_counts(store: EventStore, count: int, id_: str = "1", step: int = 1) -> None:
    """Events one minute apart, the first at noon."""
    events = [
        NewEvent(
            model.events.encode(Counted(step, step * n)),
            b"",
            microseconds(NOON + timedelta(minutes=n - 1)),
        )
        for n in range(1, count + 1)
    ]
    await store.append(Append(counter(id_), 0, command_ids.next(), events))


async def snapshot_at(store: EventStore, version: int, state: Counter, id_: str = "1") -> Snapshot:
    (record,) = [r async for r in store.read(counter(id_), first=version, limit=1)]
    return Snapshot(counter(id_), version, record.checksum, state)


async def plant(
    store: EventStore,
    snapshot: Snapshot,
    *,
    codec: SnapshotCodec = KIND.snapshots,
    at: StreamId | None = None,
) -> None:
    fields = codec.encode(snapshot)
    assert isinstance(fields, list)
    await store.ask("HSET", store.keys.snapshot(at or snapshot.stream), *fields)


async def kept_version(store: EventStore, id_: str = "1") -> int:
    return int(await store.ask("HGET", store.keys.snapshot(counter(id_)), "v") or 0)


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(10):
        while not await condition():
            await asyncio.sleep(0.005)


async def newest(store: EventStore, id_: str = "1") -> Any:
    return (await state_at(store, model.events, KIND, id_)).state


class TestUse:
    async def test_a_load_begins_at_the_snapshot(self, store: EventStore) -> None:
        await store_counts(store, 10)
        await plant(store, await snapshot_at(store, 8, LIE))

        loaded = await load(store, model.events, KIND, counter())

        # The label can only come from the snapshot, the total only from the events after it.
        assert loaded.state == Counter(10, "a lie")
        assert (loaded.version, loaded.snapshot) == (10, 8)
        assert await newest(store) == loaded.state

    async def test_a_command_is_decided_on_it(self, store: EventStore) -> None:
        await store_counts(store, 10)
        await plant(store, await snapshot_at(store, 10, LIE))

        async with Runtime(store, model) as runtime:
            receipt = await runtime.send(Counter.count, "1")
            found = await runtime.get(Counter, "1")

        assert receipt.events == (Counted(1, 1_001),)
        assert (found.state, found.version) == (Counter(1_001, "a lie"), 11)

    async def test_the_past_is_told_from_it_where_it_is_older(self, store: EventStore) -> None:
        await store_counts(store, 10)
        await plant(store, await snapshot_at(store, 8, LIE))

        async def label_at(**when: Any) -> str:
            state: Any = (await state_at(store, model.events, KIND, "1", **when)).state
            return str(state.label)

        noon_and = [NOON + timedelta(minutes=minutes) for minutes in range(10)]
        assert [await label_at(version=n) for n in range(1, 11)] == [""] * 7 + ["a lie"] * 3
        assert [await label_at(at=at) for at in noon_and] == [""] * 7 + ["a lie"] * 3

    async def test_it_says_when_its_state_came_to_be(self, store: EventStore) -> None:
        await store_counts(store, 10)
        await plant(store, await snapshot_at(store, 10, LIE))

        found = await state_at(store, model.events, KIND, "1")

        assert found.occurred_at_us == microseconds(NOON + timedelta(minutes=9))


class TestWhatIsNotTrusted:
    @pytest.fixture
    async def truth(self, store: EventStore) -> Counter:
        await store_counts(store, 10)
        return Counter(10)

    async def test_a_snapshot_of_other_code(self, store: EventStore, truth: Counter) -> None:
        class Recounter(Aggregate[Counted], type_name="counter", state_version=2):
            total: int = 0
            label: str = ""

        state: Any = Recounter(1_000, "a lie")
        snapshot = await snapshot_at(store, 8, state)
        await plant(store, snapshot, codec=SnapshotCodec(Recounter))

        assert await newest(store) == truth

    @pytest.mark.parametrize("field", FIELDS)
    async def test_a_snapshot_with_a_changed_byte(
        self, store: EventStore, truth: Counter, field: str
    ) -> None:
        await plant(store, await snapshot_at(store, 8, LIE))
        key = store.keys.snapshot(counter())
        value: bytes = await store.ask("HGET", key, field)
        for position in range(len(value)):
            for bit in (1, 128):
                changed = bytearray(value)
                changed[position] ^= bit
                await store.ask("HSET", key, field, bytes(changed))

                assert await newest(store) == truth

    @pytest.mark.parametrize("field", FIELDS)
    async def test_a_snapshot_with_a_part_missing(
        self, store: EventStore, truth: Counter, field: str
    ) -> None:
        await plant(store, await snapshot_at(store, 8, LIE))
        await store.ask("HDEL", store.keys.snapshot(counter()), field)

        assert await newest(store) == truth

    async def test_a_key_that_is_no_snapshot(self, store: EventStore, truth: Counter) -> None:
        await store.ask("SET", store.keys.snapshot(counter()), "hello")

        assert await newest(store) == truth

    async def test_a_snapshot_of_another_aggregate(self, store: EventStore, truth: Counter) -> None:
        await store_counts(store, 10, "2")
        await plant(store, await snapshot_at(store, 8, LIE, "2"), at=counter())

        assert await newest(store) == truth

    async def test_a_snapshot_that_is_ahead_of_a_restored_log(
        self, store: EventStore, truth: Counter
    ) -> None:
        behind = await snapshot_at(store, 8, LIE)
        await plant(store, behind._replace(version=12))

        assert await newest(store) == truth

    async def test_a_snapshot_of_another_past(self, store: EventStore, truth: Counter) -> None:
        await plant(store, await snapshot_at(store, 8, LIE))
        await store.ask(
            "DEL", store.keys.stream(counter()), store.keys.feed(store.keys.partition(counter()))
        )
        await store_counts(store, 10, step=2)

        assert await newest(store) == Counter(20)

    async def test_a_snapshot_of_a_stream_that_is_gone(
        self, store: EventStore, truth: Counter
    ) -> None:
        await plant(store, await snapshot_at(store, 8, LIE))
        await store.ask("DEL", store.keys.stream(counter()))

        with pytest.raises(StreamNotFound):
            await newest(store)


class TestALogThatIsNotWhole:
    async def test_a_missing_version_is_noticed(self, store: EventStore) -> None:
        await store_counts(store, 10)
        await store.ask("XDEL", store.keys.stream(counter()), "0-5")

        with pytest.raises(StreamGap, match="at version 6 where 5 should be"):
            await newest(store)

    async def test_nor_does_a_snapshot_hide_one_that_comes_after_it(
        self, store: EventStore
    ) -> None:
        await store_counts(store, 10)
        await plant(store, await snapshot_at(store, 7, LIE))
        await store.ask("XDEL", store.keys.stream(counter()), "0-9")

        with pytest.raises(StreamGap, match="at version 10 where 9 should be"):
            await newest(store)


class TestKeeping:
    async def test_a_snapshot_is_kept_after_so_many_events(self, store: EventStore) -> None:
        async with Runtime(store, model, snapshot_every=5) as runtime:
            for _ in range(4):
                await runtime.send(Counter.count, "1")
            assert await kept_version(store) == 0
            await runtime.send(Counter.count_to, "1", 7)
            await until(lambda: is_kept(store, 7))
            for _ in range(4):
                await runtime.send(Counter.count, "1")
            assert await kept_version(store) == 7
            await runtime.send(Counter.count, "1")
            await until(lambda: is_kept(store, 12))

        loaded = await load(store, model.events, KIND, counter())
        assert (loaded.state, loaded.version, loaded.snapshot) == (Counter(12), 12, 12)

    async def test_loading_a_long_history_leaves_one_behind(self, store: EventStore) -> None:
        await store_counts(store, 10)
        async with Runtime(store, model, snapshot_every=5) as runtime:
            await runtime.send(Counter.look, "1")

        assert await kept_version(store) == 10
        assert (await load(store, model.events, KIND, counter())).snapshot == 10

    async def test_a_snapshot_that_is_new_enough_is_not_written_again(
        self, store: EventStore
    ) -> None:
        await store_counts(store, 10)
        await plant(store, await snapshot_at(store, 8, LIE))
        async with Runtime(store, model, snapshot_every=5) as runtime:
            await runtime.send(Counter.look, "1")

        assert await kept_version(store) == 8

    async def test_closing_keeps_what_was_due(self, store: EventStore) -> None:
        async with Runtime(store, model, snapshot_every=1) as runtime:
            await asyncio.gather(*[runtime.send(Counter.count, str(n)) for n in range(20)])

        assert [await kept_version(store, str(n)) for n in range(20)] == [1] * 20

    async def test_never_is_a_choice(self, store: EventStore) -> None:
        async with Runtime(store, model, snapshot_every=0) as runtime:
            await runtime.send(Counter.count_to, "1", 900)

        assert await kept_version(store) == 0

    async def test_a_write_that_fails_is_only_logged(
        self, store: EventStore, caplog: pytest.LogCaptureFixture
    ) -> None:
        await store.ask("SET", store.keys.snapshot(counter()), "hello")
        async with Runtime(store, model, snapshot_every=1) as runtime:
            await runtime.send(Counter.count, "1")

        assert "the snapshot of counter/1 at version 1 was not written" in caplog.text
        assert await newest(store) == Counter(1)

    async def test_a_state_that_would_not_come_back_equal_is_not_kept_and_said_once(
        self, store: EventStore, caplog: pytest.LogCaptureFixture
    ) -> None:
        async with Runtime(store, loose, snapshot_every=1) as runtime:
            for _ in range(3):
                await runtime.send(Loose.count, "1")
            found = await runtime.get(Loose, "1")

        assert found.state == Loose((3, 3))
        assert await store.ask("EXISTS", store.keys.snapshot(StreamId("loose", "1"))) == 0
        (line,) = [record.getMessage() for record in caplog.records]
        assert "a state of loose cannot be kept as a snapshot" in line
        assert "it would come back as another state" in line

    async def test_when_too_many_wait_the_next_go_without(self, store: EventStore) -> None:
        snapshots = Snapshots(store, 1)
        for number in range(MAX_WAITING):
            stream = counter(str(number))
            assert snapshots.due(stream, 1)
            snapshots.offer(KIND, Snapshot(stream, 1, 0, Counter(1)))

        assert not snapshots.due(counter("one-more"), 1)
        # One that waits already gives way to a newer one.
        assert snapshots.due(counter("0"), 1)
        snapshots.offer(KIND, Snapshot(counter("0"), 2, 0, Counter(2)))
        await snapshots.close()

        assert await kept_version(store, "0") == 2
        assert await kept_version(store, str(MAX_WAITING - 1)) == 1
        assert await kept_version(store, "one-more") == 0


async def is_kept(store: EventStore, version: int) -> bool:
    return await kept_version(store) == version


class Loose(Aggregate[Counted]):
    """A state whose type lets a tuple become a list."""

    seen: Any = None

    @command
    def count(self) -> Counted:
        return Counted(1, (self.seen or (0,))[0] + 1)

    def apply(self, event: Counted) -> Self:
        return replace(self, seen=(event.total, event.total))


loose = WriteModel([Loose])


events_of_any_kind = st.lists(
    st.one_of(
        st.builds(Counted, st.just(1), st.integers(-9, 9)),
        st.builds(Labelled, st.sampled_from("abc"), st.just("ann")),
    ),
    min_size=1,
    max_size=12,
)


@settings(max_examples=60, deadline=None)
@given(events_of_any_kind, st.data())
def test_every_version_is_the_same_with_a_snapshot_and_without(
    events: list[Counted | Labelled], data: st.DataObject
) -> None:
    kept = data.draw(st.integers(1, len(events)), "the snapshot's version")
    asyncio.run(_compare(events, kept))


async def _compare(events: list[Counted | Labelled], kept: int) -> None:
    states = list(_folds(events))
    async with open_store(f"memory://snapshot-law-{next(names)}", namespace="law") as store:
        new = [NewEvent(model.events.encode(event)) for event in events]
        await store.append(Append(counter(), 0, "c", new))
        await plant(store, await snapshot_at(store, kept, states[kept - 1]))
        for version, state in enumerate(states, 1):
            found = await load(store, model.events, KIND, counter(), last=version)
            assert (found.state, found.version) == (state, version)
            assert found.snapshot == (kept if max(kept, 4) <= version and kept > 3 else 0)


def _folds(events: list[Counted | Labelled]) -> Iterator[Counter]:
    state = Counter()
    for event in events:
        state = state.apply(event)
        yield state
