"""The log as a whole: every event once, in the order that is promised."""

import itertools
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from typing import TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.store.domain import NOON, Deposited, Opened, account, append_of
from whence.store import reading
from whence.store.errors import CorruptStore, FeedGap, StoreUnavailable
from whence.store.eventstore import EventStore, open_store
from whence.store.ids import StreamId
from whence.store.reading import changed_last, read_all, read_feed, streams_of
from whence.store.recorded import Recorded
from whence.store.wire import Command, Reply, ServerError

T = TypeVar("T")
stores = itertools.count()


@pytest.fixture(autouse=True)
def _small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """A feed of four events has two pages."""
    monkeypatch.setattr(reading, "FEED_PAGE", 3)
    monkeypatch.setattr(reading, "_POINTERS_PAGE", 3)


async def listed(found: AsyncIterator[T]) -> list[T]:
    return [one async for one in found]


async def whole_log(store: EventStore) -> list[list[Recorded]]:
    """Each feed as the plain reads of the store tell it."""
    return [
        await store.fetch(await store.pointers(partition, after=0))
        for partition in range(store.keys.partitions)
    ]


async def fill(store: EventStore, streams: int = 6, events: int = 4) -> None:
    """Events of all streams, taking turns, on the server's clock."""
    for version in range(events):
        for number in range(streams):
            event = Opened("ann") if version == 0 else Deposited(version)
            await store.append(append_of(account(str(number)), version, event))


def positions(records: list[Recorded]) -> list[int]:
    return [record.position for record in records]


class TestFeed:
    @pytest.fixture
    async def partition(self, store: EventStore) -> int:
        """A partition that has ten events."""
        await store.append(
            append_of(account(), 0, Opened("ann"), *[Deposited(n) for n in range(9)])
        )
        return store.keys.partition(account())

    async def test_it_tells_what_was_stored_in_that_order(
        self, store: EventStore, partition: int
    ) -> None:
        found = await listed(read_feed(store, partition))

        assert found == await store.fetch(await store.pointers(partition, after=0))
        assert positions(found) == list(range(1, 11))

    async def test_backwards_is_the_same_from_its_end(
        self, store: EventStore, partition: int
    ) -> None:
        forwards = await listed(read_feed(store, partition))

        assert await listed(read_feed(store, partition, backwards=True)) == forwards[::-1]

    @pytest.mark.parametrize("backwards", [False, True])
    async def test_every_part_of_it_can_be_asked_for(
        self, store: EventStore, partition: int, backwards: bool
    ) -> None:
        for after, before, limit in itertools.product(
            [0, 1, 4, 10, 12], [None, 1, 2, 7, 11, 15], [None, 0, 1, 3, 4, 20]
        ):
            wanted = list(range(after + 1, min(before or 11, 11)))
            wanted = (wanted[::-1] if backwards else wanted)[:limit]
            found = await listed(
                read_feed(
                    store, partition, after=after, before=before, limit=limit, backwards=backwards
                )
            )
            assert positions(found) == wanted, (after, before, limit)

    @pytest.mark.parametrize("missing", range(1, 11))
    @pytest.mark.parametrize("backwards", [False, True])
    async def test_a_position_that_is_missing_is_noticed(
        self, store: EventStore, partition: int, missing: int, backwards: bool
    ) -> None:
        await store.ask("XDEL", store.keys.feed(partition), f"0-{missing}")

        if missing == 10:  # the end of a feed is where it ends
            assert len(await listed(read_feed(store, partition, backwards=backwards))) == 9
            return
        with pytest.raises(FeedGap, match=f"position .* where {missing} should be"):
            await listed(read_feed(store, partition, backwards=backwards))

    async def test_an_event_that_is_missing_is_noticed(
        self, store: EventStore, partition: int
    ) -> None:
        await store.ask("XDEL", store.keys.stream(account()), "0-5")

        with pytest.raises(CorruptStore, match="names version 5 of account/42"):
            await listed(read_feed(store, partition))


class TestAll:
    async def test_it_tells_every_event_once_by_moment(self, store: EventStore) -> None:
        await fill(store)

        found = await listed(read_all(store))

        stored = list(itertools.chain.from_iterable(await whole_log(store)))
        assert len(found) == 24
        assert found == sorted(stored, key=lambda r: (r.occurred_at_us, r.partition, r.position))
        assert len({record.partition for record in found}) > 2

    async def test_backwards_is_the_same_from_its_end(self, store: EventStore) -> None:
        await fill(store)

        forwards = await listed(read_all(store))

        assert await listed(read_all(store, backwards=True)) == forwards[::-1]

    @pytest.mark.parametrize("backwards", [False, True])
    async def test_it_goes_on_from_where_it_was(self, store: EventStore, backwards: bool) -> None:
        await fill(store)
        whole = await listed(read_all(store, backwards=backwards))
        seen: list[Recorded] = []
        reached: dict[int, int] = {}
        while True:
            bound = {"before" if backwards else "after": reached}
            page = await listed(read_all(store, limit=5, backwards=backwards, **bound))
            if not page:
                break
            reached.update((record.partition, record.position) for record in page)
            seen += page

        assert seen == whole

    async def test_imported_history_stays_in_the_order_of_its_feed(self, store: EventStore) -> None:
        other = next(
            account(str(number))
            for number in itertools.count()
            if store.keys.partition(account(str(number))) == store.keys.partition(account())
        )
        await store.append(append_of(account(), 0, Opened("ann"), at=NOON))
        await store.append(append_of(other, 0, Opened("bob"), at=NOON - timedelta(days=1)))

        found = await listed(read_all(store))

        assert [record.stream for record in found] == [account(), other]

    async def test_an_empty_log_has_no_events(self, store: EventStore) -> None:
        assert await listed(read_all(store)) == []
        assert await listed(read_all(store, backwards=True)) == []
        assert await listed(read_feed(store, 0)) == []


# Which stream gets an event, and at which minute of its past: imports go back between streams.
histories = st.lists(
    st.tuples(st.integers(0, 5), st.lists(st.integers(0, 30), min_size=1, max_size=4)), max_size=12
)


@settings(max_examples=40, deadline=None)
@given(histories, st.booleans())
async def test_whatever_the_moments_every_event_comes_once_and_each_stream_in_order(
    appends: list[tuple[int, list[int]]], backwards: bool
) -> None:
    url = f"memory://reading-law-{next(stores)}"
    async with open_store(url, namespace="law", partitions=3) as store:
        heads: dict[StreamId, tuple[int, int]] = {}
        for number, minutes in appends:
            stream = account(str(number))
            version, latest = heads.get(stream, (0, 0))
            at = NOON + timedelta(minutes=latest + minutes[0])
            await store.append(append_of(stream, version, *map(Deposited, minutes), at=at))
            heads[stream] = (version + len(minutes), latest + minutes[0] + len(minutes))

        found = await listed(read_all(store, backwards=backwards))

    in_order = found[::-1] if backwards else found
    for partition in range(3):
        feed = [record.position for record in in_order if record.partition == partition]
        assert feed == list(range(1, len(feed) + 1))
    for stream, (version, _) in heads.items():
        versions = [record.version for record in in_order if record.stream == stream]
        assert versions == list(range(1, version + 1))
    assert len(found) == sum(version for version, _ in heads.values())


class TestStreams:
    async def test_each_stream_of_a_type_is_named_once(self, store: EventStore) -> None:
        await fill(store)
        await store.append(append_of(StreamId("other", "1"), 0, Opened("ann")))

        found = await listed(streams_of(store, "account"))

        assert len(found) == 6
        assert set(found) == {account(str(number)) for number in range(6)}
        assert await listed(streams_of(store, "other")) == [StreamId("other", "1")]
        assert await listed(streams_of(store, "none")) == []

    async def test_the_partitions_share_them(self, store: EventStore) -> None:
        await fill(store)

        for partition in range(store.keys.partitions):
            for stream in await listed(streams_of(store, "account", partition=partition)):
                assert store.keys.partition(stream) == partition


class TestChangedLast:
    async def test_each_stream_is_there_once_with_its_last_event(self, store: EventStore) -> None:
        await fill(store, streams=6, events=4)
        await store.append(append_of(account("2"), 4, Deposited(1)))

        found = await changed_last(store, limit=50)

        assert len(found) == 6
        assert found[0].stream == account("2")
        assert {record.stream: record.version for record in found} == {
            account(str(number)): 5 if number == 2 else 4 for number in range(6)
        }
        moments = [record.occurred_at_us for record in found]
        assert moments == sorted(moments, reverse=True)

    async def test_the_newest_come_first_and_no_more_than_asked_for(
        self, store: EventStore
    ) -> None:
        await fill(store, streams=6, events=1)
        every = await changed_last(store, limit=50)
        assert await changed_last(store, limit=2) == every[:2]

    async def test_an_empty_store_has_none(self, store: EventStore) -> None:
        assert await changed_last(store, limit=5) == []


async def test_a_server_that_is_still_loading_is_unavailable_and_does_not_refuse(
    store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found by kill -9 under load: it reads on, where a refusal would have ended the command."""

    async def loading(commands: Sequence[Command]) -> list[Reply]:
        return [ServerError("LOADING the server is loading the dataset") for _ in commands]

    with monkeypatch.context() as patch:
        patch.setattr(store._reading, "call", loading)  # pyright: ignore[reportPrivateUsage]
        with pytest.raises(StoreUnavailable, match="LOADING"):
            await store.head(account())
        with pytest.raises(StoreUnavailable, match="LOADING"):
            await store.recall(account(), "c-1", "body")
