"""Subscribing: events of chosen types, decoded, live, and again from where it was."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.reactions.domain import Book, Ticket, TicketClosed, TicketOpened, domain
from whence import Aggregate, Event, Runtime
from whence.actors.model import WriteModel
from whence.actors.subscription import Seen, Subscription
from whence.store.errors import InvalidInput, UnknownEventType
from whence.store.eventstore import EventStore

MODEL = domain.write_model


class Foreign(Event):
    pass


@pytest.fixture
async def runtime(store: EventStore) -> AsyncIterator[Runtime]:
    async with Runtime(store, MODEL) as runtime:
        yield runtime


async def take(subscription: "Subscription[TicketClosed]", count: int) -> list[TicketClosed]:
    async with asyncio.timeout(20):
        return [(await anext(aiter(subscription))).event for _ in range(count)]


async def test_the_events_of_a_type_come_decoded_old_ones_first(
    store: EventStore, runtime: Runtime
) -> None:
    await runtime.send(Ticket.begin, "1")
    await runtime.send(Ticket.close, "1", reason="old")
    async with Subscription(store, MODEL, TicketClosed) as closed:
        assert await take(closed, 1) == [TicketClosed("old")]
        await runtime.send(Ticket.begin, "2")
        await runtime.send(Book.write, "2", text="of no interest")
        await runtime.send(Ticket.close, "2", reason="new")
        assert await take(closed, 1) == [TicketClosed("new")]


async def test_several_types_or_all_of_them(store: EventStore, runtime: Runtime) -> None:
    await runtime.send(Ticket.begin, "1")
    await runtime.send(Ticket.touch, "1")
    await runtime.send(Ticket.close, "1", reason="x")
    async with Subscription(store, MODEL, TicketOpened, TicketClosed) as some:
        found = [type((await anext(aiter(some))).event) for _ in range(2)]
    assert found == [TicketOpened, TicketClosed]
    async with Subscription[Event](store, MODEL) as every:
        seen: list[Seen[Event]] = [await anext(aiter(every)) for _ in range(3)]
    assert [one.record.version for one in seen] == [1, 2, 3]


async def test_it_goes_on_behind_the_event_that_came_last(
    store: EventStore, runtime: Runtime
) -> None:
    await runtime.send(Ticket.begin, "1")
    for reason in ("a", "b", "c"):
        await runtime.send(Ticket.close, "1", reason=reason)
        await runtime.send(Ticket.begin, "1")
    async with Subscription(store, MODEL, TicketClosed) as closed:
        assert await take(closed, 2) == [TicketClosed("a"), TicketClosed("b")]
        positions = closed.positions
    async with Subscription(store, MODEL, TicketClosed, after=positions) as closed:
        assert await take(closed, 1) == [TicketClosed("c")]


async def test_its_positions_pass_what_it_does_not_want(
    store: EventStore, runtime: Runtime
) -> None:
    for number in range(20):
        await runtime.send(Ticket.begin, str(number))
        await runtime.send(Book.write, str(number), text="x")
    heads = await store.feed_heads(range(store.keys.partitions))

    async def closing() -> None:
        async for _ in closed:
            pass

    async with Subscription(store, MODEL, TicketClosed) as closed:
        waiting = asyncio.create_task(closing())
        async with asyncio.timeout(20):
            while list(closed.positions.values()) != heads:
                await asyncio.sleep(0.01)
        waiting.cancel()
        await asyncio.wait([waiting])


async def test_one_partition_alone(store: EventStore, runtime: Runtime) -> None:
    for number in range(20):
        await runtime.send(Ticket.begin, str(number))
    async with Subscription(store, MODEL, TicketOpened, partitions=[3]) as some:
        first = await anext(aiter(some))
        assert (first.record.partition, list(some.positions)) == (3, [3])


async def test_an_event_that_may_be_one_of_them_is_not_passed_over(
    store: EventStore, runtime: Runtime
) -> None:
    await runtime.send(Ticket.touch, "1")

    class Novel(Event):
        pass

    class Older(Aggregate[Novel], type_name="ticket"):
        """A release that does not know what a ticket does by now."""

    async with Subscription(store, WriteModel([Older]), Novel) as found:
        with pytest.raises(UnknownEventType, match="TicketTouched"):
            await anext(aiter(found))


def test_a_class_that_is_no_event_of_the_domain_is_refused(store: EventStore) -> None:
    with pytest.raises(InvalidInput, match=r"Foreign.* is none of the events of this domain"):
        Subscription(store, MODEL, Foreign)
