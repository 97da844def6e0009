"""Reading the newest state: all that was acknowledged is in it, and nothing that is not stored."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import pytest

from tests.actors.domain import Counter, model
from tests.calls import submitting
from whence import Rejected, Runtime
from whence.actors.history import state_at
from whence.actors.load import load
from whence.actors.receipt import Versioned
from whence.store.append import Append
from whence.store.errors import (
    ChecksumMismatch,
    InvalidId,
    ServerRefused,
    StoreUnavailable,
    StreamNotFound,
    StreamVanished,
)
from whence.store.eventstore import EventStore, open_store
from whence.store.ids import StreamId


@pytest.fixture
async def runtime(store: EventStore) -> AsyncIterator[Runtime]:
    async with Runtime(store, model) as runtime:
        yield runtime


@pytest.fixture
async def other(url: str, namespace: str, store: EventStore) -> AsyncIterator[Runtime]:
    """Another process with the same aggregates."""
    async with (
        open_store(url, namespace=namespace) as other_store,
        Runtime(other_store, model) as other,
    ):
        yield other


def counter(id_: str = "1") -> StreamId:
    return StreamId("counter", id_)


class Watched:
    """Stands in for a method of the store: counts its calls, and holds back their answers."""

    def __init__(self, method: Callable[..., Awaitable[Any]]) -> None:
        self._method = method
        self._gate = asyncio.Event()
        self._gate.set()
        self.calls: list[Any] = []
        self.answers = 0

    async def __call__(self, asked: Any, *more: Any, **options: Any) -> Any:
        self.calls.append(asked)
        answer = await self._method(asked, *more, **options)
        self.answers += 1
        await self._gate.wait()
        return answer

    def hold(self) -> None:
        self._gate.clear()

    def release(self) -> None:
        self._gate.set()

    async def answered(self, count: int) -> None:
        async with asyncio.timeout(10):
            while self.answers < count:
                await asyncio.sleep(0)


@pytest.fixture
def replies(store: EventStore, monkeypatch: pytest.MonkeyPatch) -> Watched:
    watched = Watched(store.replies)
    monkeypatch.setattr(store, "replies", watched)
    return watched


@pytest.fixture
def appends(store: EventStore, monkeypatch: pytest.MonkeyPatch) -> Watched:
    watched = Watched(store.append_many)
    monkeypatch.setattr(store, "submit", submitting(watched))
    return watched


class TestARead:
    async def test_has_what_another_process_stored_before(
        self, runtime: Runtime, other: Runtime
    ) -> None:
        for host in (runtime, other) * 5:
            receipt = await host.send(Counter.count, "1")

            found = await runtime.get(Counter, "1")

            assert found.version == receipt.version
            assert found.state.total == receipt.version

    async def test_has_every_command_that_was_acknowledged_before_it_began(
        self, runtime: Runtime, other: Runtime
    ) -> None:
        acknowledged = dict.fromkeys("abc", 0)
        writing = 6

        async def write(host: Runtime, id_: str) -> None:
            nonlocal writing
            for _ in range(30):
                receipt = await host.send(Counter.count, id_)
                acknowledged[id_] = max(acknowledged[id_], receipt.version)
            writing -= 1

        async def read(host: Runtime, id_: str) -> int:
            reads = last = 0
            while writing:
                before = acknowledged[id_]
                if before == 0:
                    await asyncio.sleep(0)
                    continue
                found = await host.get(Counter, id_)
                assert found.version >= max(before, last)
                assert found.state.total == found.version
                last = found.version
                reads += 1
            return reads

        hosts = (runtime, other)
        writers = [write(host, id_) for host in hosts for id_ in acknowledged]
        readers = [read(host, id_) for host in hosts for id_ in acknowledged for _ in range(2)]
        done = await asyncio.gather(*writers, *readers)

        assert sum(filter(None, done)) > 0
        assert acknowledged == dict.fromkeys("abc", 60)

    async def test_never_shows_what_is_decided_and_not_stored(
        self, runtime: Runtime, store: EventStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await runtime.send(Counter.count, "1")
        on_its_way, gate = asyncio.Event(), asyncio.Event()
        append_many = store.append_many

        async def late(appends: Sequence[Append]) -> Any:
            on_its_way.set()
            await gate.wait()
            return await append_many(appends)

        monkeypatch.setattr(store, "submit", submitting(late))
        sent = asyncio.create_task(runtime.send(Counter.count, "1"))
        await on_its_way.wait()

        for stale_ok in (False, True):
            assert (await runtime.get(Counter, "1", stale_ok=stale_ok)).version == 1
        gate.set()
        await sent
        assert (await runtime.get(Counter, "1")).version == 2

    async def test_does_not_wait_for_a_mailbox(self, runtime: Runtime, appends: Watched) -> None:
        await runtime.send(Counter.count, "1")
        appends.hold()
        sent = [asyncio.create_task(runtime.send(Counter.count, "1")) for _ in range(10)]
        await appends.answered(2)  # stored, and the answer is on its way for as long as we like

        found = await runtime.get(Counter, "1")

        assert found.version > 1
        assert not any(task.done() for task in sent)
        appends.release()
        await asyncio.gather(*sent)
        assert (await runtime.get(Counter, "1")).state.total == 11

    async def test_knows_when_the_state_came_to_be(
        self, runtime: Runtime, other: Runtime, store: EventStore
    ) -> None:
        kind = model.aggregate("counter")
        ways: list[Callable[[], Awaitable[Any]]] = [
            lambda: runtime.send(Counter.count, "1"),
            lambda: runtime.send(Counter.count_to, "1", 4),
            lambda: other.send(Counter.count, "1"),
            lambda: other.send(Counter.count_to, "1", 150),
        ]
        for change in ways:
            await change()
            expected = await state_at(store, model.events, kind, "1")
            assert await runtime.get(Counter, "1") == expected
            assert await other.get(Counter, "1") == expected
        await other.send(Counter.count, "1")
        await runtime.send(Counter.count, "1")  # after a conflict
        assert await runtime.get(Counter, "1") == await state_at(store, model.events, kind, "1")

    async def test_of_what_is_not_there_leaves_no_actor_behind(self, runtime: Runtime) -> None:
        for id_ in ("none", "none", "neither"):
            with pytest.raises(StreamNotFound, match=f"counter/{id_} does not exist"):
                await runtime.get(Counter, id_)
        with pytest.raises(InvalidId):
            await runtime.get(Counter, "{1}")
        assert runtime.live_actors == 0

    async def test_of_what_was_only_rejected_finds_nothing(self, runtime: Runtime) -> None:
        with pytest.raises(Rejected):
            await runtime.send(Counter.label_as, "1", label="x", labelled_by="ann")
        with pytest.raises(StreamNotFound):
            await runtime.get(Counter, "1")

    async def test_that_may_be_stale_asks_nobody(
        self, runtime: Runtime, other: Runtime, replies: Watched
    ) -> None:
        await runtime.send(Counter.count, "1")
        await other.send(Counter.count, "1")
        replies.calls.clear()

        assert (await runtime.get(Counter, "1", stale_ok=True)).version == 1

        assert not replies.calls
        assert (await runtime.get(Counter, "1")).version == 2

    async def test_that_may_be_stale_still_loads_what_is_not_live(
        self, runtime: Runtime, other: Runtime
    ) -> None:
        await other.send(Counter.count, "1")

        assert (await runtime.get(Counter, "1", stale_ok=True)).version == 1
        with pytest.raises(StreamNotFound):
            await runtime.get(Counter, "none", stale_ok=True)

    async def test_leaves_the_state_for_commands_and_readers_to_come(
        self, runtime: Runtime, other: Runtime, replies: Watched
    ) -> None:
        await other.send(Counter.count_to, "1", 5)
        await runtime.get(Counter, "1")
        assert runtime.live_actors == 1
        replies.calls.clear()

        receipt = await runtime.send(Counter.count, "1")

        assert receipt.version == 6
        assert not replies.calls
        assert runtime.metrics().types["counter"].conflicts == 0

    async def test_keeps_within_the_limit_of_actors(self, store: EventStore) -> None:
        async with Runtime(store, model, max_actors=5) as runtime:
            await asyncio.gather(*[runtime.send(Counter.count, str(i)) for i in range(20)])
            found = await asyncio.gather(*[runtime.get(Counter, str(i)) for i in range(20)])

            assert [one.version for one in found] == [1] * 20
            assert runtime.live_actors <= 5


class TestReadersTogether:
    async def test_share_a_look(self, runtime: Runtime, replies: Watched) -> None:
        ids = [str(i) for i in range(50)]
        await asyncio.gather(*[runtime.send(Counter.count, id_) for id_ in ids])
        replies.calls.clear()

        found = await asyncio.gather(*[runtime.get(Counter, id_) for id_ in ids * 4])

        assert {one.version for one in found} == {1}
        assert [len(commands) for commands in replies.calls if commands] == [50]

    async def test_share_it_also_when_nothing_is_live(
        self, runtime: Runtime, other: Runtime, replies: Watched
    ) -> None:
        ids = [str(i) for i in range(50)]
        await asyncio.gather(*[other.send(Counter.count, id_) for id_ in ids])

        found = await asyncio.gather(*[runtime.get(Counter, id_) for id_ in ids * 4])

        assert {one.version for one in found} == {1}
        assert [len(commands) for commands in replies.calls if commands] == [50]

    async def test_who_come_during_a_look_wait_for_the_next_one(
        self, runtime: Runtime, other: Runtime, replies: Watched
    ) -> None:
        await runtime.send(Counter.count, "1")
        replies.hold()
        looked = replies.answers
        early = asyncio.create_task(runtime.get(Counter, "1"))
        await replies.answered(looked + 1)
        await other.send(Counter.count, "1")
        late = asyncio.create_task(runtime.get(Counter, "1"))
        await asyncio.sleep(0)
        replies.release()

        assert (await early).version == 1
        assert (await late).version == 2

    async def test_load_a_long_aggregate_once(
        self, runtime: Runtime, other: Runtime, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await other.send(Counter.count_to, "1", 300)
        loads = Watched(load)
        monkeypatch.setattr("whence.actors.reads.load", loads)
        loads.hold()
        early = asyncio.create_task(runtime.get(Counter, "1"))
        await loads.answered(1)
        await other.send(Counter.count, "1")
        late = [asyncio.create_task(runtime.get(Counter, "1")) for _ in range(5)]
        await asyncio.sleep(0)
        loads.release()

        assert (await early).version == 300
        assert {one.version for one in await asyncio.gather(*late)} == {301}
        assert len(loads.calls) == 1

    async def test_are_not_harmed_by_one_that_cannot_be_read(
        self, runtime: Runtime, other: Runtime, store: EventStore
    ) -> None:
        await asyncio.gather(*[other.send(Counter.count, str(i)) for i in range(4)])
        (entry,) = await store.ask("XRANGE", store.keys.stream(counter("1")), "0-1", "0-1")
        await store.ask("XADD", store.keys.stream(counter("0")), "0-2", *entry[1])
        await store.ask("SET", store.keys.stream(counter("wrong")), "no stream")

        asked = [runtime.get(Counter, id_) for id_ in ("0", "1", "2", "3", "none", "wrong")]
        found = await asyncio.gather(*asked, return_exceptions=True)

        outcomes = [one.version if isinstance(one, Versioned) else type(one) for one in found]
        assert outcomes == [ChecksumMismatch, 1, 1, 1, StreamNotFound, ServerRefused]

    async def test_are_not_harmed_by_one_that_vanished(
        self, runtime: Runtime, store: EventStore
    ) -> None:
        await asyncio.gather(*[runtime.send(Counter.count, str(i)) for i in range(3)])
        await store.ask("DEL", store.keys.stream(counter("0")))
        await store.ask("DEL", store.keys.stream(counter("1")))
        await store.ask("SET", store.keys.stream(counter("1")), "no stream")

        found = await asyncio.gather(
            *[runtime.get(Counter, str(i)) for i in range(3)], return_exceptions=True
        )

        outcomes = [one.version if isinstance(one, Versioned) else type(one) for one in found]
        assert outcomes == [StreamVanished, ServerRefused, 1]

    async def test_are_not_harmed_by_one_who_leaves(
        self, runtime: Runtime, replies: Watched
    ) -> None:
        await runtime.send(Counter.count, "1")
        replies.hold()
        looked = replies.answers
        leaver = asyncio.create_task(runtime.get(Counter, "1"))
        stayer = asyncio.create_task(runtime.get(Counter, "1"))
        await replies.answered(looked + 1)
        leaver.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaver
        replies.release()

        assert (await stayer).version == 1

    async def test_all_learn_that_the_store_is_away_and_those_after_do_not(
        self, runtime: Runtime, store: EventStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await runtime.send(Counter.count, "1")

        async def away(commands: Any) -> Any:
            await asyncio.sleep(0)
            raise StoreUnavailable("here", "away")

        with monkeypatch.context() as patch:
            patch.setattr(store, "replies", away)
            asked = [runtime.get(Counter, "1") for _ in range(300)]
            found = await asyncio.gather(*asked, return_exceptions=True)

        assert {type(one) for one in found} == {StoreUnavailable}
        assert (await runtime.get(Counter, "1")).version == 1

    async def test_are_refused_when_the_runtime_ends(
        self, store: EventStore, replies: Watched
    ) -> None:
        async with Runtime(store, model) as runtime:
            await runtime.send(Counter.count, "1")
            replies.hold()
            looked = replies.answers
            waiting = [asyncio.create_task(runtime.get(Counter, "1"))]
            await replies.answered(looked + 1)
            waiting.append(asyncio.create_task(runtime.get(Counter, "2")))
            await asyncio.sleep(0)

        for task in waiting:
            with pytest.raises(StoreUnavailable, match="shutting down"):
                await task
        with pytest.raises(StoreUnavailable, match="shutting down"):
            await runtime.get(Counter, "1")
