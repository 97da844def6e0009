"""Who is let go, when, and that nobody loses anything by it."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Self

import pytest

from tests.actors.domain import Counter, model
from tests.calls import submitting
from whence import Aggregate, Event, Runtime, command, replace
from whence.actors.model import WriteModel
from whence.store.append import Append
from whence.store.eventstore import EventStore
from whence.store.ids import StreamId


class Noted(Event):
    text: str


class Notebook(Aggregate[Noted]):
    texts: tuple[str, ...] = ()

    @command
    def note(self, text: str) -> Noted:
        return Noted(text)

    def apply(self, event: Noted) -> Self:
        return replace(self, texts=(*self.texts, event.text))


notebooks = WriteModel([Notebook])


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


async def live(runtime: Runtime, ids: Sequence[str]) -> list[str]:
    """Those of these counters that are in memory: they answer without a load."""
    streams = {actor.stream for actor in runtime._live}  # pyright: ignore[reportPrivateUsage]
    return [id_ for id_ in ids if StreamId("counter", id_) in streams]


class TestNoCommandIsLost:
    async def test_to_an_actor_that_is_let_go_at_that_very_moment(self, store: EventStore) -> None:
        ids = [str(i) for i in range(12)]
        async with Runtime(store, model, max_actors=3, idle_for=0.001) as runtime:

            async def caller(seed: int) -> list[tuple[str, int]]:
                acknowledged: list[tuple[str, int]] = []
                for step in range(25):
                    id_ = ids[(seed * 7 + step * 5) % len(ids)]
                    acknowledged.append((id_, (await runtime.send(Counter.count, id_)).version))
                return acknowledged

            done = await asyncio.gather(*[caller(seed) for seed in range(12)])
            passivations = runtime.metrics().types["counter"].passivations

        acknowledged = sorted([one for each in done for one in each])
        heads = {id_: await store.head(StreamId("counter", id_)) for id_ in ids}
        assert acknowledged == sorted(
            [(id_, version) for id_ in ids for version in range(1, heads[id_] + 1)]
        )
        assert len(acknowledged) == 300
        assert passivations > len(ids)

    async def test_when_the_next_one_comes_as_the_last_one_is_answered(
        self, store: EventStore
    ) -> None:
        async with Runtime(store, model, max_actors=1, max_bytes=0) as runtime:
            for version in range(1, 6):  # an actor is weighed, and goes, as it falls idle
                first = asyncio.create_task(runtime.send(Counter.count, "1"))
                first.add_done_callback(lambda _: follow())
                following: list[asyncio.Task[Any]] = []

                def follow(following: list[asyncio.Task[Any]] = following) -> None:
                    following.append(asyncio.create_task(runtime.send(Counter.count, "1")))

                assert (await first).version == 2 * version - 1
                await until(lambda found=following: bool(found))  # type: ignore[misc]
                assert (await following[0]).version == 2 * version
            assert runtime.metrics().types["counter"].conflicts == 0

    async def test_a_busy_actor_stays_whatever_the_limits(
        self, store: EventStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        gate = asyncio.Event()
        append_many = store.append_many

        async def late(appends: Sequence[Append]) -> Any:
            await gate.wait()
            return await append_many(appends)

        async with Runtime(store, model, max_actors=2, max_bytes=1, idle_for=0.001) as runtime:
            monkeypatch.setattr(store, "submit", submitting(late))
            sent = [asyncio.create_task(runtime.send(Counter.count, str(i))) for i in range(40)]
            await until(lambda: runtime.live_actors == 40)
            gate.set()
            receipts = await asyncio.gather(*sent)

            assert [receipt.version for receipt in receipts] == [1] * 40
            await until(lambda: runtime.live_actors == 0)


class TestWhoGoes:
    async def test_the_one_used_longest_ago(self, store: EventStore) -> None:
        async with Runtime(store, model, max_actors=3) as runtime:
            for id_ in ("a", "b", "c"):
                await runtime.send(Counter.count, id_)
            await runtime.send(Counter.count, "a")
            await runtime.get(Counter, "b")

            await runtime.send(Counter.count, "d")

            assert await live(runtime, ["a", "b", "c", "d"]) == ["a", "b", "d"]

    async def test_the_idle_ones_also_behind_many_that_are_busy(
        self, store: EventStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        gate = asyncio.Event()
        append_many = store.append_many

        async def late(appends: Sequence[Append]) -> Any:
            if appends[0].stream.id.startswith("busy"):
                await gate.wait()
            return await append_many(appends)

        async with Runtime(store, model, max_actors=60) as runtime:
            monkeypatch.setattr(store, "submit", submitting(late))
            busy = [
                asyncio.create_task(runtime.send(Counter.count, f"busy-{i}")) for i in range(50)
            ]
            await until(lambda: runtime.live_actors == 50)
            for i in range(50):
                with pytest.raises(Exception, match="empty counter"):
                    await runtime.send(Counter.label_as, f"idle-{i}", label="x", labelled_by="ann")

            assert runtime.live_actors <= 60 + 4
            gate.set()
            await asyncio.gather(*busy)


class TestBytes:
    async def test_states_stay_below_the_limit_once_nothing_is_under_way(
        self, store: EventStore
    ) -> None:
        async with Runtime(store, notebooks, max_bytes=200_000) as runtime:
            for i in range(40):
                await runtime.send(Notebook.note, str(i), text=f"{i}" * 5_000)
                assert runtime.metrics().live_bytes <= 200_000

            assert 5 < runtime.live_actors < 40
            assert (await runtime.send(Notebook.note, "0", text="again")).version == 2

    async def test_a_state_that_grows_is_noticed(self, store: EventStore) -> None:
        async with Runtime(store, notebooks) as runtime:
            sizes: list[int] = []
            for _ in range(60):
                await runtime.send(Notebook.note, "1", text="x" * 1_000)
                sizes.append(runtime.metrics().live_bytes)

        assert sizes == sorted(sizes)
        # It is weighed anew after half as many events more, so it is never far behind.
        for events, size in enumerate(sizes, 1):
            assert size > 0.6 * events * 1_000

    async def test_one_that_is_too_large_by_itself_goes_when_it_is_idle(
        self, store: EventStore
    ) -> None:
        async with Runtime(store, notebooks, max_bytes=50_000) as runtime:
            await runtime.send(Notebook.note, "1", text="x" * 60_000)
            assert runtime.live_actors == 0
            assert (await runtime.get(Notebook, "1")).version == 1
            assert runtime.live_actors == 0
            assert (await runtime.send(Notebook.note, "1", text="y")).version == 2

    async def test_a_state_that_was_only_loaded_counts_as_well(self, store: EventStore) -> None:
        async with Runtime(store, notebooks) as runtime:
            await runtime.send(Notebook.note, "1", text="x" * 60_000)
        async with Runtime(store, notebooks) as runtime:
            await runtime.get(Notebook, "1")
            assert runtime.metrics().live_bytes > 60_000
