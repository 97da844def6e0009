"""What goes wrong in one command, stream or server stays there, and nobody waits for ever."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Self

import pytest

from tests.calls import submitting
from tests.store.domain import Opened, append_of
from whence import Aggregate, Event, Runtime, command, replace
from whence.actors.actor import MAX_ROW
from whence.actors.model import WriteModel
from whence.actors.receipt import Receipt
from whence.store.append import Append, Conflicted, NewEvent, Outcome
from whence.store.errors import (
    ChecksumMismatch,
    Conflict,
    InvalidEvent,
    OutcomeUnknown,
    StoreUnavailable,
    StreamGap,
    StreamVanished,
)
from whence.store.eventstore import EventStore
from whence.store.ids import StreamId
from whence.store.registry import Encoded


class Done(Event):
    note: str = ""


class Thing(Aggregate[Done]):
    times: int = 0

    @command
    def do(self, note: str = "") -> Done:
        return Done(note)

    @command
    def do_often(self, count: int, note: str = "") -> list[Done]:
        return [Done(note)] * count

    @command
    def stumble(self) -> Done:
        return next(iter(()))

    @command
    def cancel(self) -> Done:
        raise asyncio.CancelledError

    def apply(self, event: Done) -> Self:
        return replace(self, times=self.times + 1)


model = WriteModel([Thing])


def thing(id_: str = "1") -> StreamId:
    return StreamId("thing", id_)


@pytest.fixture
async def runtime(store: EventStore) -> AsyncIterator[Runtime]:
    async with Runtime(store, model) as runtime:
        yield runtime


class TestOneCommand:
    async def test_that_raises_what_a_future_refuses_harms_no_other(
        self, runtime: Runtime, store: EventStore
    ) -> None:
        await runtime.send(Thing.do, "1")
        async with asyncio.timeout(10):
            results = await asyncio.gather(
                runtime.send(Thing.do, "1"),
                runtime.send(Thing.stumble, "1"),
                runtime.send(Thing.cancel, "1"),
                runtime.send(Thing.do, "1"),
                return_exceptions=True,
            )
            assert [type(result) for result in results] == [
                Receipt,
                RuntimeError,
                RuntimeError,
                Receipt,
            ]
            assert (await runtime.send(Thing.do, "1")).version == 4

    async def test_that_is_too_large_harms_no_other(
        self, runtime: Runtime, store: EventStore
    ) -> None:
        results = await asyncio.gather(
            runtime.send(Thing.do, "1"),
            runtime.send(Thing.do_often, "1", 1_001),
            runtime.send(Thing.do_often, "1", 5, "x" * 900_000),
            runtime.send(Thing.do, "1"),
            return_exceptions=True,
        )

        assert [type(r) for r in results] == [Receipt, InvalidEvent, InvalidEvent, Receipt]
        assert await store.head(thing()) == 2

    async def test_of_many_that_wait_goes_out_in_bounded_rows(
        self, runtime: Runtime, store: EventStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        sizes: list[int] = []
        append_many = store.append_many

        async def counted(appends: Sequence[Append]) -> list[Outcome | Exception]:
            sizes.append(sum(len(append.events) for append in appends))
            return await append_many(appends)

        monkeypatch.setattr(store, "submit", submitting(counted))
        small = [runtime.send(Thing.do, "1") for _ in range(3 * MAX_ROW)]
        large = [runtime.send(Thing.do_often, "2", 400) for _ in range(10)]
        receipts = await asyncio.gather(*small, *large)

        assert max(sizes) <= 2_000
        assert max(receipt.version for receipt in receipts[: 3 * MAX_ROW]) == 3 * MAX_ROW
        assert await store.head(thing("2")) == 4_000


class TestOneStream:
    async def test_that_cannot_be_read_harms_no_other(
        self, runtime: Runtime, store: EventStore
    ) -> None:
        await asyncio.gather(*[runtime.send(Thing.do, str(i)) for i in range(4)])
        (entry,) = await store.ask("XRANGE", store.keys.stream(thing("1")), "0-1", "0-1")
        await store.ask("XADD", store.keys.stream(thing("0")), "0-2", *entry[1])

        results = await asyncio.gather(
            *[runtime.send(Thing.do, str(i)) for i in range(4)], return_exceptions=True
        )

        assert [type(r) for r in results] == [ChecksumMismatch, Receipt, Receipt, Receipt]
        lengths = [await store.ask("XLEN", store.keys.stream(thing(str(i)))) for i in range(4)]
        assert lengths == [2, 2, 2, 2]

    async def test_with_a_foreign_entry_harms_no_other(self, store: EventStore) -> None:
        await store.ask("XADD", store.keys.stream(thing("0")), "0-1", "foreign", "entry")

        outcomes = await store.append_many(
            [append_of(thing("0"), 1, Opened("a")), append_of(thing("1"), 0, Opened("b"))]
        )

        assert "not written by Whence" in str(outcomes[0])
        assert await store.head(thing("1")) == 1

    async def test_that_vanished_stays_an_error(self, runtime: Runtime, store: EventStore) -> None:
        await runtime.send(Thing.do, "1")
        await store.ask("DEL", store.keys.stream(thing()))

        for _ in range(3):
            with pytest.raises(StreamVanished):
                await runtime.send(Thing.do, "1")
        assert await store.head(thing()) == 0

    async def test_with_a_gap_is_an_error_also_after_a_conflict(
        self, runtime: Runtime, store: EventStore
    ) -> None:
        await runtime.send(Thing.do, "1")
        foreign = [NewEvent(Encoded("Done", 1, b"{}", Done())) for _ in range(2)]
        await store.append(Append(thing(), 1, "other", foreign))
        await store.ask("XDEL", store.keys.stream(thing()), "0-2")

        with pytest.raises(StreamGap, match="version 3 where 2 should be"):
            await runtime.send(Thing.do, "1")


class TestOneServer:
    async def test_that_is_away_refuses_all_who_wait_after_one_time_limit(
        self, store: EventStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        calls = 0

        async def away(appends: Sequence[Append]) -> list[Outcome | Exception]:
            nonlocal calls
            calls += 1
            await asyncio.sleep(0)
            raise StoreUnavailable("here", "away")

        async with Runtime(store, model) as runtime:
            await asyncio.gather(*[runtime.send(Thing.do, str(i)) for i in range(600)])
            monkeypatch.setattr(store, "submit", submitting(away))
            results = await asyncio.gather(
                *[runtime.send(Thing.do, str(i)) for i in range(600)], return_exceptions=True
            )

        assert {type(result) for result in results} == {StoreUnavailable}
        assert calls <= 4

    async def test_that_never_answers_leaves_nobody_waiting_at_the_end(
        self, store: EventStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("whence.actors.runtime.DRAIN_FOR", 0.05)
        gate = asyncio.Event()

        async def silent(appends: Sequence[Append]) -> list[Outcome | Exception]:
            await gate.wait()
            raise StoreUnavailable("here", "too late")

        async with Runtime(store, model) as runtime:
            monkeypatch.setattr(store, "submit", submitting(silent))
            waiting = asyncio.create_task(runtime.send(Thing.do, "1"))
            await asyncio.sleep(0)

        with pytest.raises(OutcomeUnknown, match="this process has ended"):
            await waiting
        gate.set()

    async def test_where_others_always_come_first_ends_in_a_conflict(
        self, store: EventStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def too_late(appends: Sequence[Append]) -> list[Outcome | Exception]:
            return [Conflicted(append.expected, []) for append in appends]

        async with Runtime(store, model) as runtime:
            await runtime.send(Thing.do, "1")
            monkeypatch.setattr(store, "submit", submitting(too_late))
            with pytest.raises(Conflict, match="each of the 100 times"):
                await runtime.send(Thing.do, "1")


async def test_a_burst_of_actors_is_passivated_once_it_is_over(store: EventStore) -> None:
    async with Runtime(store, model, max_actors=10) as runtime:
        await asyncio.gather(*[runtime.send(Thing.do, str(i)) for i in range(200)])
        await runtime.send(Thing.do, "one-more")

        assert runtime.live_actors <= 10


async def test_a_waiter_who_leaves_does_not_keep_others_from_their_outcome(
    runtime: Runtime,
) -> None:
    leaver = asyncio.create_task(runtime.send(Thing.do, "1"))
    stayer = asyncio.create_task(runtime.send(Thing.do, "2"))
    await asyncio.sleep(0)
    leaver.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await leaver

    assert (await stayer).version == 1
