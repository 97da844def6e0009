"""What a reaction does, as a story."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import anyio
import pytest

from tests.reactions.domain import (
    Book,
    Clerk,
    Deadlines,
    Ticket,
    TicketOpened,
    clerk,
    deadlines,
    domain,
    entries,
    handled,
    named,
    reacting,
)
from tests.store.servers import EVERYWHERE
from whence import Recorded, Runtime
from whence.actors.facts import Fact, History, import_history
from whence.reactions import Reaction, Then, reacts
from whence.reactions.status import pending_timers, timer_counts
from whence.store.eventstore import EventStore
from whence.store.ids import StreamId

pytestmark = EVERYWHERE


@pytest.fixture
async def runtime(store: EventStore) -> AsyncIterator[Runtime]:
    async with Runtime(store, domain.write_model) as runtime:
        yield runtime


async def last(store: EventStore, stream: StreamId) -> Recorded:
    async for record in store.read_backwards(stream, limit=1):
        return record
    raise AssertionError(stream)


async def closed(runtime: Runtime, id_: str) -> Ticket:
    """The ticket, once somebody has closed it."""
    with anyio.fail_after(20):
        while not (ticket := (await runtime.get(Ticket, id_)).state).reason:
            await anyio.sleep(0.01)
    return ticket


async def test_an_event_leads_to_a_command_for_another_aggregate(
    store: EventStore, runtime: Runtime
) -> None:
    async with reacting(store, Clerk) as worker:
        await runtime.send(Ticket.begin, "1")
        await runtime.send(Ticket.touch, "1")
        await runtime.send(Ticket.begin, "2")
        await handled(store, clerk)
    assert await entries(runtime, "1") == ("1", "2")
    assert await entries(runtime, "2") == ("1",)
    assert worker.counts()["clerk"].sent == 3


async def test_what_follows_says_what_it_follows_from(store: EventStore, runtime: Runtime) -> None:
    async with reacting(store, Clerk):
        await runtime.send(Ticket.begin, "1")
        await handled(store, clerk)
    metadata = (await last(store, StreamId("book", "1"))).metadata
    assert metadata.causation_id == metadata.correlation_id == "ticket/1@1"
    assert metadata.who == "reaction clerk"


async def test_a_new_reaction_begins_behind_the_events_that_there_are(
    store: EventStore, runtime: Runtime
) -> None:
    await runtime.send(Ticket.begin, "1")
    async with reacting(store, Clerk):
        await runtime.send(Ticket.touch, "1")
        await handled(store, clerk)
    assert await entries(runtime, "1") == ("2",)


async def test_or_before_them_if_it_says_so(store: EventStore, runtime: Runtime) -> None:
    class Historian(Clerk, start="beginning"):
        pass

    await runtime.send(Ticket.begin, "1")
    async with reacting(store, Historian):
        await handled(store, named(Historian))
    assert await entries(runtime, "1") == ("1",)


async def test_one_that_has_begun_goes_on_where_it_was(store: EventStore, runtime: Runtime) -> None:
    async with reacting(store, Clerk):
        pass
    await runtime.send(Ticket.begin, "1")
    async with reacting(store, Clerk):
        await handled(store, clerk)
    assert await entries(runtime, "1") == ("1",)


async def test_imported_facts_are_passed_over(store: EventStore, runtime: Runtime) -> None:
    class Archivist(Clerk, imported=True):
        pass

    long_ago = datetime(2017, 5, 1, tzinfo=UTC)
    past = History(Ticket, "1", [Fact(TicketOpened(), long_ago)])
    async with reacting(store, Clerk, Archivist, Deadlines):
        await import_history(store, domain.write_model, [past], source="elsewhere")
        await runtime.send(Ticket.touch, "1")
        for cls in (Clerk, Archivist, Deadlines):
            await handled(store, named(cls))
    assert sorted(await entries(runtime, "1")) == ["1", "2", "2"]
    assert sum(await timer_counts(store, deadlines)) == 0


async def test_a_command_that_is_rejected_has_its_answer(
    store: EventStore, runtime: Runtime
) -> None:
    class Closer(Reaction):
        @reacts(TicketOpened)
        def opened(self, event: TicketOpened, record: Recorded, then: Then) -> None:
            then.send(Ticket.close, "never-opened", reason="just so")
            then.send(Book.write, record.id, text="went on")

    async with reacting(store, Closer) as worker:
        await runtime.send(Ticket.begin, "1")
        await handled(store, named(Closer))
    assert await entries(runtime, "1") == ("went on",)
    assert worker.counts()["closer"].rejected == 1


async def test_an_async_handler_calls_outside_with_a_key(
    store: EventStore, runtime: Runtime
) -> None:
    calls: list[tuple[str, str]] = []

    class Mailer(Reaction):
        @reacts(TicketOpened)
        async def opened(self, event: TicketOpened, record: Recorded, then: Then) -> None:
            await anyio.lowlevel.checkpoint()
            calls.append((record.id, then.key))
            then.send(Book.write, record.id, text="sent")

    async with reacting(store, Mailer):
        await runtime.send(Ticket.begin, "1")
        await runtime.send(Ticket.begin, "2")
        await handled(store, named(Mailer))
    assert sorted(id_ for id_, _ in calls) == ["1", "2"]
    assert len({key for _, key in calls}) == 2
    assert await entries(runtime, "1") == ("sent",)


async def test_a_timer_goes_off_when_its_time_has_come(store: EventStore, runtime: Runtime) -> None:
    async with reacting(store, Deadlines):
        await runtime.send(Ticket.begin, "1", minutes=0.005)  # 300 ms
        ticket = await closed(runtime, "1")
        with anyio.fail_after(20):
            while sum(await timer_counts(store, deadlines)):
                await anyio.sleep(0.01)
    assert ticket.reason == "late"
    opened = [record async for record in store.read(StreamId("ticket", "1"))]
    assert opened[1].occurred_at - opened[0].occurred_at >= timedelta(milliseconds=300)
    assert opened[1].metadata.causation_id == "ticket/1@1"
    assert opened[1].metadata.notes == {"timer": "limit"}


async def test_a_timer_waits_where_people_can_see_it(store: EventStore, runtime: Runtime) -> None:
    async with reacting(store, Deadlines):
        await runtime.send(Ticket.begin, "1", minutes=60.0)
        await runtime.send(Ticket.begin, "2", minutes=30.0)
        await handled(store, deadlines)
    first, second = await pending_timers(store, deadlines)
    assert [str(first.id), str(second.id)] == ["ticket/2/limit", "ticket/1/limit"]
    opened = await last(store, StreamId("ticket", "2"))
    assert (
        timedelta(0)
        <= first.due - opened.occurred_at - timedelta(minutes=30)
        < timedelta(milliseconds=1)
    )
    assert (first.timer.command, first.timer.target) == ("close", StreamId("ticket", "2"))


async def test_a_timer_that_was_cancelled_never_goes_off(
    store: EventStore, runtime: Runtime
) -> None:
    async with reacting(store, Deadlines):
        await runtime.send(Ticket.begin, "1", minutes=0.002)
        await runtime.send(Ticket.settle, "1")
        await handled(store, deadlines)
        assert sum(await timer_counts(store, deadlines)) == 0
        await runtime.send(Ticket.begin, "2", minutes=0.003)
        await closed(runtime, "2")  # what was due before it has gone out by now
    assert (await runtime.get(Ticket, "1")).version == 2


async def test_a_timer_of_the_same_name_takes_the_place_of_the_other(
    store: EventStore, runtime: Runtime
) -> None:
    async with reacting(store, Deadlines):
        await runtime.send(Ticket.begin, "1", minutes=60.0)
        await runtime.send(Ticket.begin, "1", minutes=0.0)
        await closed(runtime, "1")
        with anyio.fail_after(20):
            while sum(await timer_counts(store, deadlines)):
                await anyio.sleep(0.01)
    assert (await runtime.get(Ticket, "1")).version == 3


async def test_a_moment_that_has_passed_means_at_once(store: EventStore, runtime: Runtime) -> None:
    class Hasty(Reaction):
        @reacts(TicketOpened)
        def opened(self, event: TicketOpened, record: Recorded, then: Then) -> None:
            then.at("then", datetime(2020, 1, 1, tzinfo=UTC), Ticket.close, record.id, "past")

    async with reacting(store, Hasty):
        await runtime.send(Ticket.begin, "1")
        assert (await closed(runtime, "1")).reason == "past"


async def test_the_same_command_twice_is_two_commands(store: EventStore, runtime: Runtime) -> None:
    class Double(Reaction):
        @reacts(TicketOpened)
        def opened(self, event: TicketOpened, record: Recorded, then: Then) -> None:
            then.send(Book.write, record.id, text="same")
            then.send(Book.write, record.id, text="same")

    async with reacting(store, Double):
        await runtime.send(Ticket.begin, "1")
        await handled(store, named(Double))
    assert await entries(runtime, "1") == ("same", "same")


async def test_two_workers_share_the_work_and_double_none_of_it(
    store: EventStore, runtime: Runtime
) -> None:
    async with reacting(store, Clerk), reacting(store, Clerk):
        for number in range(20):
            await runtime.send(Ticket.begin, str(number))
        await handled(store, clerk)
    for number in range(20):
        assert await entries(runtime, number) == ("1",)
