"""What goes wrong under a reaction, and what has happened afterwards."""

import logging
from collections.abc import AsyncIterator

import anyio
import pytest

from tests.reactions.domain import (
    QUICK,
    Book,
    Clerk,
    Deadlines,
    Ticket,
    TicketOpened,
    TicketSettled,
    TicketTouched,
    clerk,
    deadlines,
    domain,
    entries,
    handled,
    reacting,
    until,
)
from whence import Recorded, Runtime
from whence.actors.receipt import Receipt
from whence.actors.request import CommandRequest
from whence.projections.notes import Request
from whence.projections.requests import leave
from whence.projections.settings import WorkerSettings
from whence.projections.status import status
from whence.reactions import Reaction, Then, reacts
from whence.reactions.checkpoint import Checkpoints
from whence.reactions.status import timer_counts
from whence.store.errors import Conflict, Overloaded
from whence.store.eventstore import EventStore
from whence.store.ids import StreamId

NONE: frozenset[str] = frozenset()


@pytest.fixture
async def runtime(store: EventStore) -> AsyncIterator[Runtime]:
    async with Runtime(store, domain.write_model) as runtime:
        yield runtime


def neighbours(store: EventStore) -> tuple[str, str]:
    """Two tickets of one partition."""
    partition = store.keys.partition(StreamId("ticket", "0"))
    found = (str(n) for n in range(1, 999))
    return "0", next(n for n in found if store.keys.partition(StreamId("ticket", n)) == partition)


async def parked(store: EventStore, count: int) -> None:
    await until(store, lambda found: sum(part.parked for part in found) == count, clerk)


async def asked(store: EventStore, request: Request) -> None:
    """What a person wants done about ticket 1."""
    wire = store.address.wire()
    await leave(wire, store, clerk, StreamId("ticket", "1"), request)
    await wire.close()


class TestAHandlerThatFails:
    async def test_parks_its_aggregate_and_no_other(
        self, store: EventStore, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        broken, healthy = neighbours(store)
        monkeypatch.setattr(Clerk, "broken", frozenset([broken]))
        async with reacting(store, Clerk):
            for _ in range(2):
                await runtime.send(Ticket.begin, broken)
                await runtime.send(Ticket.touch, healthy)
            await handled(store, clerk)
            await parked(store, 1)
        assert await entries(runtime, healthy) == ("1", "2")
        assert await entries(runtime, broken) == ()

    async def test_is_tried_again_in_order_once_it_is_mended(
        self, store: EventStore, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(Clerk, "broken", frozenset(["1"]))
        async with reacting(store, Clerk):
            for _ in range(3):
                await runtime.send(Ticket.touch, "1")
            await handled(store, clerk)
            await parked(store, 1)
            monkeypatch.setattr(Clerk, "broken", NONE)
            await asked(store, Request("retry", 1, "ann"))
            await parked(store, 0)
        assert await entries(runtime, "1") == ("1", "2", "3")

    async def test_is_tried_again_by_a_worker_that_comes_later(
        self, store: EventStore, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(Clerk, "broken", frozenset(["1"]))
        never = WorkerSettings(lease_ms=3_000, poll_ms=50, attempts=1)
        async with reacting(store, Clerk, settings=never):
            await runtime.send(Ticket.touch, "1")
            await handled(store, clerk)
            await parked(store, 1)
        monkeypatch.setattr(Clerk, "broken", NONE)
        async with reacting(store, Clerk, settings=never):
            await parked(store, 0)
        assert await entries(runtime, "1") == ("1",)

    async def test_may_be_skipped(self, store: EventStore, runtime: Runtime) -> None:
        class Picky(Clerk, name="clerk"):
            def _enter(self, record: Recorded, then: Then) -> None:
                if record.version == 2:
                    raise ArithmeticError
                super()._enter(record, then)

        async with reacting(store, Picky):
            for _ in range(3):
                await runtime.send(Ticket.touch, "1")
            await handled(store, clerk)
            await parked(store, 1)
            await asked(store, Request("skip", 2, "ann", "never mind"))
            await parked(store, 0)
        assert await entries(runtime, "1") == ("1", "3")

    async def test_halts_the_partition_where_the_reaction_says_so(
        self, store: EventStore, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class Strict(Clerk, name="clerk", on_failure="halt"):
            pass

        broken, behind = neighbours(store)
        number = store.keys.partition(StreamId("ticket", broken))
        monkeypatch.setattr(Clerk, "broken", frozenset([broken]))
        async with reacting(store, Strict):
            await runtime.send(Ticket.touch, broken)
            found = await until(store, lambda found: found[number].failure != "", clerk)
            assert f"cannot handle TicketTouched, version 1 of ticket/{broken}" in (
                found[number].failure
            )
            await runtime.send(Ticket.touch, behind)
            monkeypatch.setattr(Clerk, "broken", NONE)
            await handled(store, clerk)
            assert (await status(store, clerk))[number].failure == ""
        assert await entries(runtime, broken) == ("1",)
        assert await entries(runtime, behind) == ("1",)

    async def test_a_command_that_fails_is_as_a_handler_that_does(
        self, store: EventStore, runtime: Runtime
    ) -> None:
        class Broken(Reaction, name="clerk"):
            @reacts(TicketOpened)
            def opened(self, event: TicketOpened, record: Recorded, then: Then) -> None:
                then.send(Ticket.begin, "new", minutes=float("nan"))  # cannot be stored

        async with reacting(store, Broken):
            await runtime.send(Ticket.begin, "1")
            await handled(store, clerk)
            await parked(store, 1)

    async def test_a_slow_one_holds_up_its_partition_and_no_other(
        self, store: EventStore, runtime: Runtime
    ) -> None:
        hurry = anyio.Event()

        class Slow(Reaction, name="clerk"):
            @reacts(TicketOpened)
            async def opened(self, event: TicketOpened, record: Recorded, then: Then) -> None:
                if record.id == "slow":
                    await hurry.wait()
                then.send(Book.write, record.id, text="done")

        stuck = store.keys.partition(StreamId("ticket", "slow"))
        async with reacting(store, Slow):
            await runtime.send(Ticket.begin, "slow")
            for number in range(20):
                await runtime.send(Ticket.begin, str(number))
            await until(
                store, lambda found: not any(x.lag for x in found if x.partition != stuck), clerk
            )
            assert await entries(runtime, "slow") == ()
            hurry.set()
            await handled(store, clerk)
        assert await entries(runtime, "slow") == ("done",)


class TestTroubleOfTheMoment:
    @pytest.mark.parametrize(
        "trouble", [Overloaded("ticket/1", 1_000, 0.1), Conflict("ticket/1", None, 3)], ids=str
    )
    async def test_is_no_fault_of_an_event(
        self,
        store: EventStore,
        runtime: Runtime,
        trouble: Exception,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        often = iter([True] * 10)
        execute = runtime.execute

        async def troubled(request: CommandRequest) -> Receipt:
            if next(often, False):
                raise trouble
            return await execute(request)

        monkeypatch.setattr(runtime, "execute", troubled)
        async with reacting(store, Clerk, runtime=runtime):
            for _ in range(3):
                await runtime.send(Ticket.touch, "1")
            await handled(store, clerk)
            assert sum(part.parked for part in await status(store, clerk)) == 0
        assert await entries(runtime, "1") == ("1", "2", "3")


class TestTimersAndEvents:
    async def test_an_event_that_waited_is_not_overtaken_by_a_timer(
        self, store: EventStore, runtime: Runtime
    ) -> None:
        """No worker was there, and both the cancellation and the moment have come meanwhile."""

        class Patient(Deadlines, name="deadlines"):
            @reacts(TicketTouched)
            def touched(self, event: TicketTouched, record: Recorded, then: Then) -> None:
                then.cancel_timer("limit")

        async with reacting(store, Patient):
            await runtime.send(Ticket.begin, "1", minutes=60.0)
            await handled(store, deadlines)
        await runtime.send(Ticket.touch, "1")
        number = store.keys.partition(StreamId("ticket", "1"))
        await store.ask("ZADD", store.keys.due(number, "deadlines"), 1, "ticket/1/limit")
        async with reacting(store, Patient):
            await handled(store, deadlines)
            await runtime.send(Ticket.begin, "2", minutes=0.0)
            with anyio.fail_after(20):
                while sum(await timer_counts(store, deadlines)):
                    await anyio.sleep(0.01)
        assert (await runtime.get(Ticket, "1")).version == 2

    async def test_a_timer_waits_while_events_of_its_aggregate_are_parked(
        self, store: EventStore, runtime: Runtime
    ) -> None:
        calm = WorkerSettings(lease_ms=3_000, poll_ms=50, retry_ms=60_000)
        other = "2"
        async with reacting(store, Deadlines):
            await runtime.send(Ticket.begin, "1", minutes=60.0)
            await handled(store, deadlines)
        # As if its hour had passed: it is due, and so is another one that nothing holds.
        key = store.keys.due(store.keys.partition(StreamId("ticket", "1")), "deadlines")

        class Failing(Reaction, name="deadlines"):
            @reacts(TicketOpened)
            def opened(self, event: TicketOpened, record: Recorded, then: Then) -> None:
                Deadlines.opened(self, event, record, then)  # type: ignore[arg-type]  # pyright: ignore

            @reacts(TicketSettled)
            def settled(self, event: TicketSettled, record: Recorded, then: Then) -> None:
                raise ArithmeticError

        async with reacting(store, Failing, settings=calm):
            await runtime.send(Ticket.settle, "1")
            await until(store, lambda found: sum(part.parked for part in found) == 1, deadlines)
            await store.ask("ZADD", key, 1, "ticket/1/limit")
            await runtime.send(Ticket.begin, other, minutes=0.0)
            with anyio.fail_after(20):
                while not (await runtime.get(Ticket, other)).state.reason:
                    await anyio.sleep(0.01)
            # A timer goes when its command has had its answer, and a state is seen before.
            with anyio.fail_after(20):
                while sum(await timer_counts(store, deadlines)) != 1:
                    await anyio.sleep(0.01)
        async with reacting(store, Deadlines):  # a release that can settle
            with anyio.fail_after(20):
                while sum(await timer_counts(store, deadlines)):
                    await anyio.sleep(0.01)
        assert (await runtime.get(Ticket, "1")).version == 2

    async def test_a_command_of_the_past_waits_for_a_release_that_knows_it(
        self, store: EventStore, runtime: Runtime, caplog: pytest.LogCaptureFixture
    ) -> None:
        async with reacting(store, Deadlines):
            await runtime.send(Ticket.begin, "1", minutes=60.0)
            await handled(store, deadlines)
        number = store.keys.partition(StreamId("ticket", "1"))
        key = store.keys.timers(number, "deadlines")
        stored: bytes = await store.ask("HGET", key, "ticket/1/limit")
        other = stored.replace(b'"close"', b'"shut"')
        await store.ask("HSET", key, "ticket/1/limit", other)
        await store.ask("ZADD", store.keys.due(number, "deadlines"), 1, "ticket/1/limit")
        async with reacting(store, Deadlines):
            with anyio.fail_after(20):
                while "cannot send what timer ticket/1/limit was set for" not in caplog.text:
                    await anyio.sleep(0.01)
            await store.ask("HSET", key, "ticket/1/limit", stored)
            with anyio.fail_after(20):
                while not (await runtime.get(Ticket, "1")).state.reason:
                    await anyio.sleep(0.01)

    async def test_a_rejected_timer_has_had_its_answer(
        self, store: EventStore, runtime: Runtime, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO, "whence.reactions")
        async with reacting(store, Deadlines) as worker:
            await runtime.send(Ticket.begin, "1", minutes=0.01)
            await runtime.send(Ticket.close, "1", reason="by hand")
            await handled(store, deadlines)
            with anyio.fail_after(20):
                while sum(await timer_counts(store, deadlines)):
                    await anyio.sleep(0.01)
        assert worker.counts()["deadlines"].rejected == 1
        assert "close to ticket/1, after ticket/1@1, this ticket is not open" in caplog.text
        assert (await runtime.get(Ticket, "1")).state.reason == "by hand"


class TestALogThatChanged:
    async def test_a_rollback_halts_the_partition_until_a_restart(
        self, store: EventStore, runtime: Runtime
    ) -> None:
        stream = StreamId("ticket", "1")
        number = store.keys.partition(stream)
        async with reacting(store, Clerk):
            await runtime.send(Ticket.touch, "1")
            await handled(store, clerk)
        # As a restored backup: the events are gone, the checkpoint is not.
        await store.ask_many([("DEL", store.keys.feed(number)), ("DEL", store.keys.stream(stream))])
        async with Runtime(store, domain.write_model) as another:
            await another.send(Ticket.settle, "1")
            async with reacting(store, Clerk):
                found = await until(store, lambda found: found[number].failure != "", clerk)
                assert "`whence reactions restart clerk` lets it go on" in found[number].failure
                wire = store.address.wire()
                await Checkpoints(store, "clerk", wire).restart()
                await another.send(Ticket.touch, "1")
                await handled(store, clerk)
                await wire.close()
            assert await entries(another, "1") == ("1", "2")

    async def test_a_rollback_under_a_running_worker_is_noticed(
        self, store: EventStore, runtime: Runtime
    ) -> None:
        stream = StreamId("ticket", "1")
        number = store.keys.partition(stream)
        async with reacting(store, Clerk):
            await runtime.send(Ticket.touch, "1")
            await handled(store, clerk)
            await store.ask_many(
                [("DEL", store.keys.feed(number)), ("DEL", store.keys.stream(stream))]
            )
            found = await until(store, lambda found: found[number].failure != "", clerk)
        assert "where the log now has no event" in found[number].failure

    async def test_damaged_bytes_park_their_aggregate(
        self, store: EventStore, runtime: Runtime
    ) -> None:
        torn, intact = neighbours(store)
        async with reacting(store, Clerk):
            pass
        await runtime.send(Ticket.begin, torn)
        await runtime.send(Ticket.touch, intact)
        key = store.keys.stream(StreamId("ticket", torn))
        ((_, fields),) = await store.ask("XRANGE", key, "-", "+")
        changed = [f.replace(b"30", b"31") if b"minutes" in f else f for f in fields]
        await store.ask_many([("DEL", key), ("XADD", key, "0-1", *changed)])
        async with reacting(store, Clerk, settings=QUICK):
            await handled(store, clerk)
            await parked(store, 1)
        assert await entries(runtime, intact) == ("1",)
