"""Commands through the runtime: one by one per aggregate, and never lost. Reads as a tutorial."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from msgspec.structs import replace

from tests.actors.domain import Counted, Counter, model
from tests.calls import submitting
from tests.store.domain import Opened, append_of
from whence import Rejected, Runtime
from whence.actors.request import CommandRequest
from whence.store.append import NewEvent
from whence.store.errors import (
    Conflict,
    InvalidEvent,
    InvalidId,
    StoreUnavailable,
    StreamNotFound,
    StreamVanished,
    UnknownEventType,
)
from whence.store.eventstore import EventStore, open_store
from whence.store.ids import StreamId
from whence.store.metadata import Metadata
from whence.store.registry import Encoded


@pytest.fixture
async def runtime(store: EventStore) -> AsyncIterator[Runtime]:
    async with Runtime(store, model) as runtime:
        yield runtime


def counter(id_: str = "1") -> StreamId:
    return StreamId("counter", id_)


async def totals(store: EventStore, id_: str = "1") -> list[int]:
    records = [record async for record in store.read(counter(id_))]
    events = [event for record in records for event in model.events.decode_all(record)]
    return [event.total for event in events if isinstance(event, Counted)]


class TestSending:
    async def test_a_command_stores_its_event(self, runtime: Runtime, store: EventStore) -> None:
        receipt = await runtime.send(Counter.count, "1", step=3)

        assert receipt.stream == counter()
        assert (receipt.version, receipt.position) == (1, 1)
        assert receipt.partition == store.keys.partition(counter())
        assert receipt.events == (Counted(3, 3),)
        assert receipt.created
        assert (await runtime.get(Counter, "1")).state == Counter(total=3)

    async def test_the_next_command_sees_what_the_last_one_did(self, runtime: Runtime) -> None:
        await runtime.send(Counter.count, "1", step=3)
        receipt = await runtime.send(Counter.count, "1", step=4)

        assert receipt.events == (Counted(4, 7),)
        assert not receipt.created

    async def test_a_command_may_decide_several_events(self, runtime: Runtime) -> None:
        receipt = await runtime.send(Counter.count_to, "1", 3)

        assert [type(event) for event in receipt.events] == [Counted] * 3
        assert (receipt.version, receipt.position) == (3, 3)
        assert receipt.created

    async def test_a_command_may_decide_nothing(self, runtime: Runtime) -> None:
        await runtime.send(Counter.count, "1")
        receipt = await runtime.send(Counter.look, "1")

        assert (receipt.version, receipt.events, receipt.position) == (1, (), 0)
        assert not receipt.created

    async def test_a_rejected_command_stores_nothing(
        self, runtime: Runtime, store: EventStore
    ) -> None:
        with pytest.raises(Rejected, match="an empty counter cannot be labelled"):
            await runtime.send(Counter.label_as, "1", label="x", labelled_by="ann")

        assert await store.head(counter()) == 0
        assert await store.feed_head(store.keys.partition(counter())) == 0

    async def test_an_id_that_cannot_be_one_is_refused(self, runtime: Runtime) -> None:
        with pytest.raises(InvalidId):
            await runtime.send(Counter.count, "{1}")
        assert runtime.live_actors == 0

    async def test_an_event_that_would_not_survive_storage_stores_nothing(
        self, runtime: Runtime, store: EventStore
    ) -> None:
        await runtime.send(Counter.count, "1")

        with pytest.raises(InvalidEvent):
            await runtime.send(Counter.label_as, "1", label="\ud800", labelled_by="a")

        assert await store.head(counter()) == 1
        assert (await runtime.send(Counter.count, "1")).version == 2

    async def test_metadata_and_command_id_are_stored_with_each_event(
        self, runtime: Runtime, store: EventStore
    ) -> None:
        kind = model.aggregate("counter")
        metadata = Metadata(who="ann", correlation_id="r-1", notes={"ticket": "7"})
        request = CommandRequest(
            kind,
            kind.command("count_to"),
            "1",
            {"limit": 2},
            command_id="c-1",
            metadata=metadata,
        )

        await runtime.execute(request)

        records = [record async for record in store.read(counter())]
        assert [record.metadata for record in records] == [metadata] * 2
        assert [record.command_id for record in records] == ["c-1"] * 2


class TestConcurrency:
    async def test_concurrent_commands_of_one_aggregate_happen_one_by_one(
        self, runtime: Runtime, store: EventStore
    ) -> None:
        receipts = await asyncio.gather(*[runtime.send(Counter.count, "1") for _ in range(200)])

        assert sorted(receipt.version for receipt in receipts) == list(range(1, 201))
        assert await totals(store) == list(range(1, 201))

    async def test_many_aggregates_share_calls_to_the_store(
        self, runtime: Runtime, store: EventStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        calls = 0
        append_many = store.append_many

        async def counted(appends: Any) -> Any:
            nonlocal calls
            calls += 1
            return await append_many(appends)

        await asyncio.gather(*[runtime.send(Counter.count, str(i)) for i in range(100)])
        monkeypatch.setattr(store, "submit", submitting(counted))
        await asyncio.gather(*[runtime.send(Counter.count, str(i)) for i in range(100)])

        assert calls < 20
        for i in range(100):
            assert await store.head(counter(str(i))) == 2

    async def test_two_processes_may_host_one_aggregate(
        self, runtime: Runtime, store: EventStore, url: str, namespace: str
    ) -> None:
        async with (
            open_store(url, namespace=namespace) as other_store,
            Runtime(other_store, model) as other,
        ):
            hosts = [runtime, other] * 50
            receipts = await asyncio.gather(*[host.send(Counter.count, "1") for host in hosts])

        assert sorted(receipt.version for receipt in receipts) == list(range(1, 101))
        assert await totals(store) == list(range(1, 101))

    async def test_a_rejection_is_only_given_on_the_newest_state(
        self, runtime: Runtime, url: str, namespace: str
    ) -> None:
        with pytest.raises(Rejected):
            await runtime.send(Counter.label_as, "1", label="x", labelled_by="ann")
        async with (
            open_store(url, namespace=namespace) as other_store,
            Runtime(other_store, model) as other,
        ):
            await other.send(Counter.count, "1")

        receipt = await runtime.send(Counter.label_as, "1", label="x", labelled_by="ann")

        assert receipt.version == 2

    async def test_nor_beside_a_command_that_finds_a_newer_state(
        self, runtime: Runtime, url: str, namespace: str
    ) -> None:
        await runtime.send(Counter.look, "1")
        async with (
            open_store(url, namespace=namespace) as other_store,
            Runtime(other_store, model) as other,
        ):
            await other.send(Counter.count, "1")

        labelled, counted = await asyncio.gather(
            runtime.send(Counter.label_as, "1", label="x", labelled_by="ann"),
            runtime.send(Counter.count, "1"),
        )

        assert (labelled.version, counted.version) == (2, 3)

    async def test_commands_that_wait_for_one_actor_go_out_in_a_row(
        self, runtime: Runtime, store: EventStore
    ) -> None:
        labelled = runtime.send(Counter.label_as, "1", label="x", labelled_by="ann")
        results = await asyncio.gather(
            runtime.send(Counter.count, "1"),
            labelled,
            runtime.send(Counter.label_as, "1", label="\ud800", labelled_by="ann"),
            runtime.send(Counter.count_to, "1", 3),
            runtime.send(Counter.look, "1"),
            return_exceptions=True,
        )

        versions = [getattr(result, "version", type(result)) for result in results]
        assert versions == [1, 2, InvalidEvent, 4, 4]
        records = [record async for record in store.read(counter())]
        assert len({record.command_id for record in records}) == 3

    async def test_an_expected_version_is_checked_and_never_tried_again(
        self, runtime: Runtime
    ) -> None:
        await runtime.send(Counter.count, "1")
        kind = model.aggregate("counter")

        def expecting(version: int) -> CommandRequest:
            return CommandRequest(kind, kind.command("count"), "1", {"step": 1}, expected=version)

        with pytest.raises(Conflict, match="is at version 1, not 7"):
            await runtime.execute(expecting(7))
        assert (await runtime.execute(expecting(1))).version == 2
        with pytest.raises(Conflict, match="is at version 2, not 1"):
            await runtime.execute(expecting(1))

    async def test_a_caller_who_leaves_does_not_cancel_the_command(
        self, runtime: Runtime, store: EventStore
    ) -> None:
        caller = asyncio.create_task(runtime.send(Counter.count, "1"))
        await asyncio.sleep(0)
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller

        receipt = await runtime.send(Counter.count, "1")
        assert receipt.version == 2
        assert await totals(store) == [1, 2]


class TestLifeOfAnActor:
    async def test_an_actor_is_loaded_from_its_events(
        self, runtime: Runtime, store: EventStore
    ) -> None:
        await runtime.send(Counter.count_to, "1", 5)

        async with Runtime(store, model) as restarted:
            receipt = await restarted.send(Counter.count, "1")

        assert receipt.events == (Counted(1, 6),)

    async def test_idle_actors_are_passivated_and_come_back(self, store: EventStore) -> None:
        async with Runtime(store, model, idle_for=0.01) as runtime:
            await runtime.send(Counter.count, "1")
            await until(lambda: runtime.live_actors == 0)

            assert (await runtime.send(Counter.count, "1")).version == 2

    async def test_no_more_actors_live_than_allowed(self, store: EventStore) -> None:
        async with Runtime(store, model, max_actors=10) as runtime:
            for i in range(30):
                await runtime.send(Counter.count, str(i))
                assert runtime.live_actors <= 10
            for i in range(30):
                assert (await runtime.send(Counter.count, str(i))).version == 2

    async def test_closing_finishes_what_is_under_way(self, store: EventStore) -> None:
        runtime = Runtime(store, model)
        async with runtime:
            sent = [asyncio.create_task(runtime.send(Counter.count, "1")) for _ in range(20)]
            await asyncio.sleep(0)

            under_way = [task for task in sent if not task.done()]

        assert under_way
        assert sorted(receipt.version for receipt in await asyncio.gather(*sent)) == list(
            range(1, 21)
        )
        assert await totals(store) == list(range(1, 21))
        with pytest.raises(StoreUnavailable, match="shutting down"):
            await runtime.send(Counter.count, "1")

    async def test_a_stream_that_vanished_is_an_error_not_a_new_stream(
        self, runtime: Runtime, store: EventStore
    ) -> None:
        await runtime.send(Counter.count, "1")
        await store.ask("DEL", store.keys.stream(counter()))

        with pytest.raises(StreamVanished, match="was at version 1 and is now at 0"):
            await runtime.send(Counter.count, "1")

        assert await store.head(counter()) == 0

    async def test_an_event_of_unknown_type_stops_commands_and_changes_nothing(
        self, runtime: Runtime, store: EventStore
    ) -> None:
        foreign = NewEvent(Encoded("Exploded", 1, b"{}", Opened("x")))
        await store.append(replace(append_of(counter(), 0), events=[foreign]))

        with pytest.raises(UnknownEventType, match="version 1 of counter/1 is a 'Exploded'"):
            await runtime.send(Counter.count, "1")

        assert await store.head(counter()) == 1

    async def test_what_is_not_there_is_not_found(self, runtime: Runtime) -> None:
        with pytest.raises(StreamNotFound, match="counter/none does not exist"):
            await runtime.get(Counter, "none")


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)
