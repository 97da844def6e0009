"""Aggregates whose first events were stored by older releases."""

from collections.abc import AsyncIterator

import pytest
from msgspec.structs import replace

from tests.evolved import (
    PAST,
    Bought,
    Paid,
    PaidAndSeated1,
    Printed1,
    Seated,
    Ticket,
    model,
    past,
    plant,
    planted,
    ticket,
)
from tests.store.domain import NOON
from whence import Event, Runtime
from whence.actors.facts import Fact, History, import_history
from whence.actors.history import state_at
from whence.actors.request import CommandRequest
from whence.actors.why import explain
from whence.store.append import Append
from whence.store.errors import UnknownEventType, UpcastFailed
from whence.store.eventstore import EventStore
from whence.store.recorded import microseconds
from whence.web.replies import CommandReply

KIND = model.aggregate("ticket")


@pytest.fixture
async def runtime(store: EventStore) -> AsyncIterator[Runtime]:
    async with Runtime(store, model) as runtime:
        yield runtime


async def test_the_state_of_an_aggregate_with_a_past(runtime: Runtime, store: EventStore) -> None:
    await plant(store, ticket(), PAST)

    found = await runtime.get(Ticket, "1")

    assert (found.state, found.version) == (Ticket(300, "EUR", "ann", "4B"), 3)


async def test_a_command_goes_on_from_the_version_in_the_log(
    runtime: Runtime, store: EventStore
) -> None:
    await plant(store, ticket(), PAST)

    receipt = await runtime.send(Ticket.take, "1", seat="5C")

    # Three were stored, four are read, and the next one is the fourth in the log.
    assert (receipt.version, receipt.versions, receipt.created) == (4, range(4, 5), False)
    state = (await state_at(store, model.events, KIND, "1")).state
    assert state == Ticket(300, "EUR", "ann", "5C")


@pytest.mark.parametrize(
    ("version", "state"),
    [
        (1, Ticket(300, "EUR")),
        (2, Ticket(300, "EUR")),  # retired: the version exists, and changes nothing
        (3, Ticket(300, "EUR", "ann", "4B")),  # both parts of the split
    ],
)
async def test_every_version_of_the_past_can_be_asked_for(
    store: EventStore, version: int, state: Ticket
) -> None:
    await plant(store, ticket(), PAST)

    found = await state_at(store, model.events, KIND, "1", version=version)

    assert (found.state, found.version) == (state, version)


async def test_an_aggregate_of_which_all_is_retired_exists(store: EventStore) -> None:
    await plant(store, ticket(), [Printed1(pages=1)])

    found = await state_at(store, model.events, KIND, "1")

    assert (found.state, found.version) == (Ticket(), 1)


async def test_why_names_events_as_they_are_called_today(store: EventStore) -> None:
    await plant(store, ticket(), PAST)

    explanation = await explain(store, model.events, KIND, "1")
    changes = explanation.changes

    assert (explanation.state, explanation.version) == (Ticket(300, "EUR", "ann", "4B"), 3)
    assert {name: [(c.type, c.version) for c in found] for name, found in changes.items()} == {
        "cents": [("Bought", 1)],
        "currency": [("Bought", 1)],
        "paid_by": [("Paid", 3)],
        "seat": [("Seated", 3)],
    }
    assert changes["paid_by"][0].who == "ann"


async def test_a_command_that_an_older_release_stored_gets_its_answer_as_of_today(
    runtime: Runtime, store: EventStore
) -> None:
    await runtime.send(Ticket.look, "1")  # the actor lives, at version 0
    await plant(store, ticket(), [PaidAndSeated1(who="ann", seat="4B")], command="c-1")

    request = CommandRequest(KIND, KIND.command("take"), "1", {"seat": "4B"}, command_id="c-1")
    receipt = await runtime.execute(request)

    assert receipt.events == (Paid("ann"), Seated("4B"))
    assert (receipt.version, list(receipt.versions), receipt.created) == (1, [1, 1], True)
    told = [(event.type, event.version) for event in CommandReply.of(receipt).events]
    assert told == [("Paid", 1), ("Seated", 1)]
    assert (await runtime.send(Ticket.take, "1", seat="1A")).version == 2


async def test_a_live_actor_catches_up_with_events_of_an_older_release(
    runtime: Runtime, store: EventStore
) -> None:
    await runtime.send(Ticket.look, "1")
    await plant(store, ticket(), PAST)  # the older release still runs somewhere

    assert (await runtime.send(Ticket.take, "1", seat="1A")).version == 4
    found = await runtime.get(Ticket, "1")
    assert found.state == Ticket(300, "EUR", "ann", "1A")


async def test_an_import_that_an_older_release_made_is_recognised(store: EventStore) -> None:
    moment = microseconds(NOON)
    old = [replace(new, occurred_at_us=moment) for new in planted(*PAST)]
    await store.append(Append(ticket(), 0, "import:box:1", old))

    def facts(seat: str) -> list[History]:
        events: list[Event] = [Bought(300, "EUR"), Paid("ann"), Seated(seat)]
        return [History(Ticket, "1", [Fact(event, NOON) for event in events])]

    again = await import_history(store, model, facts("4B"), source="box")
    other = await import_history(store, model, facts("5C"), source="box")

    assert (again.already_there, again.conflicts) == (1, [])
    assert (other.already_there, other.conflicts) == (0, [ticket()])


async def test_an_older_release_reads_what_a_newer_one_added_a_field_to(
    store: EventStore,
) -> None:
    await plant(store, ticket(), [past("Paid", paid_by=str, till=int)(paid_by="ann", till=3)])

    assert (await state_at(store, model.events, KIND, "1")).state == Ticket(paid_by="ann")


async def test_an_event_of_a_newer_schema_version_stops_commands_and_changes_nothing(
    runtime: Runtime, store: EventStore
) -> None:
    await plant(store, ticket(), [past("Paid", 2, paid_by=str)(paid_by="ann")])

    with pytest.raises(UnknownEventType, match=r"'Paid' of schema version 2.*it knows schema ver"):
        await runtime.send(Ticket.take, "1", seat="1A")

    assert await store.head(ticket()) == 1


async def test_an_upcaster_that_fails_stops_commands_and_names_the_event(
    runtime: Runtime, store: EventStore
) -> None:
    await plant(store, ticket(), [past("Ordered", pounds=int)(pounds=3)])

    with pytest.raises(UpcastFailed, match="on version 1 of ticket/1: KeyError: 'euros'"):
        await runtime.send(Ticket.take, "1", seat="1A")

    assert await store.head(ticket()) == 1
