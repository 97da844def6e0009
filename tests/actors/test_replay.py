"""All aggregates as of a moment: each as it is told alone, and none left out."""

import asyncio
import itertools
from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.actors.domain import Counted, Counter, Labelled, model
from tests.store.domain import NOON, Opened, append_of
from whence import Aggregate
from whence.actors import load as loading
from whence.actors import replay as replaying
from whence.actors.history import state_at
from whence.actors.receipt import Versioned
from whence.actors.replay import replay
from whence.actors.snapshot import Snapshot
from whence.store.append import Append, NewEvent
from whence.store.errors import StreamNotFound, StreamVanished, UnknownAggregate
from whence.store.eventstore import EventStore, open_store
from whence.store.ids import StreamId
from whence.store.recorded import microseconds

KIND = model.aggregate("counter")
stores = itertools.count()


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replaying, "BATCH", 3)
    monkeypatch.setattr(loading, "FIRST_PAGE", 3)
    monkeypatch.setattr(loading, "EVENTS_PER_TRIP", 3)


async def begin(store: EventStore, id_: str, minutes: list[int]) -> StreamId:
    """A counter that counted at these minutes after noon."""
    stream = StreamId("counter", id_)
    events = [
        NewEvent(
            model.events.encode(Counted(1, total)),
            b"",
            microseconds(NOON + timedelta(minutes=minute)),
        )
        for total, minute in enumerate(minutes, 1)
    ]
    await store.append(Append(stream, 0, f"c-{id_}", events))
    return stream


async def replayed(store: EventStore, at: datetime | None = None) -> dict[str, Versioned[Counter]]:
    found = [state async for state in replay(store, model, Counter, at=at)]
    by_id = {state.stream.id: state for state in found}
    assert len(by_id) == len(found)  # each once
    return by_id


async def test_it_tells_the_state_of_each_at_the_moment(store: EventStore) -> None:
    for number in range(10):
        await begin(store, str(number), [number, number + 1, number + 5])

    found = await replayed(store, NOON + timedelta(minutes=5))

    totals = {id_: one.state.total for id_, one in found.items()}
    assert totals == {"0": 3, "1": 2, "2": 2, "3": 2, "4": 2, "5": 1}
    assert found["1"].occurred_at_us == microseconds(NOON + timedelta(minutes=2))


async def test_without_a_moment_it_tells_the_newest_states(store: EventStore) -> None:
    for number in range(10):
        await begin(store, str(number), list(range(number + 1)))

    found = await replayed(store)

    assert {id_: one.version for id_, one in found.items()} == {
        str(number): number + 1 for number in range(10)
    }


async def test_other_kinds_are_left_out(store: EventStore) -> None:
    await begin(store, "1", [0])
    await store.append(append_of(StreamId("account", "1"), 0, Opened("ann")))

    assert set(await replayed(store)) == {"1"}
    with pytest.raises(UnknownAggregate):
        await anext(replay(store, model, Stranger))


async def test_it_begins_at_snapshots_that_are_old_enough(store: EventStore) -> None:
    stream = await begin(store, "1", list(range(10)))
    (record,) = [r async for r in store.read(stream, first=8, limit=1)]
    fields = KIND.snapshots.encode(Snapshot(stream, 8, record.checksum, Counter(0, "kept")))
    assert isinstance(fields, list)
    await store.ask("HSET", store.keys.snapshot(stream), *fields)

    labels = [
        (await replayed(store, NOON + timedelta(minutes=minute)))["1"].state.label
        for minute in range(10)
    ]
    assert labels == [""] * 7 + ["kept"] * 3


@pytest.mark.parametrize("at", [None, NOON])
async def test_a_stream_that_vanished_is_an_error_not_a_state_less(
    store: EventStore, at: datetime | None
) -> None:
    for number in range(5):
        await begin(store, str(number), [0])
    await store.ask("DEL", store.keys.stream(StreamId("counter", "3")))

    with pytest.raises(StreamVanished, match="counter/3"):
        await replayed(store, at)


class Stranger(Aggregate[Counted]):
    pass


events_of_any_kind = st.one_of(
    st.builds(Counted, st.just(1), st.integers(-9, 9)),
    st.builds(Labelled, st.sampled_from("abc"), st.just("ann")),
)
# For each aggregate its events, and after how many minutes each one followed.
pasts = st.lists(
    st.lists(st.tuples(events_of_any_kind, st.integers(0, 5)), min_size=1, max_size=8), max_size=6
)


@settings(max_examples=40, deadline=None)
@given(pasts, st.integers(-1, 20))
def test_it_says_of_each_what_is_said_of_it_alone(
    histories: list[list[tuple[Counted | Labelled, int]]], minute: int
) -> None:
    asyncio.run(_compare(histories, NOON + timedelta(minutes=minute)))


async def _compare(histories: list[list[tuple[Counted | Labelled, int]]], at: datetime) -> None:
    url = f"memory://replay-law-{next(stores)}"
    async with open_store(url, namespace="law", partitions=2) as store:
        for number, history in enumerate(histories):
            moments = itertools.accumulate(minutes for _, minutes in history)
            events = [
                NewEvent(
                    model.events.encode(event),
                    b"",
                    microseconds(NOON + timedelta(minutes=minutes)),
                )
                for (event, _), minutes in zip(history, moments, strict=True)
            ]
            await store.append(Append(StreamId("counter", str(number)), 0, "c", events))

        found = await replayed(store, at)

        for number in range(len(histories)):
            try:
                alone = await state_at(store, model.events, KIND, str(number), at=at)
            except StreamNotFound:
                assert str(number) not in found
            else:
                assert found[str(number)] == alone
