"""The state at any version or moment, and the events that set each field."""

from datetime import timedelta

import pytest

from tests.actors.domain import Counted, Counter, Labelled, model
from tests.store.domain import NOON
from whence.actors.history import state_at
from whence.actors.step import step_to, version_at
from whence.actors.why import explain
from whence.store.append import Append, NewEvent
from whence.store.errors import InvalidId, StreamNotFound, UnknownField, VersionNotFound
from whence.store.events import Event
from whence.store.eventstore import EventStore
from whence.store.ids import StreamId
from whence.store.metadata import Metadata, encode_metadata
from whence.store.recorded import microseconds

KIND = model.aggregate("counter")


def fact(event: Event, minute: int, metadata: bytes = b"") -> NewEvent:
    occurred = microseconds(NOON + timedelta(minutes=minute))
    return NewEvent(model.events.encode(event), metadata, occurred)


@pytest.fixture
async def history(store: EventStore) -> EventStore:
    facts = [
        fact(Counted(1, 1), 0),
        fact(Labelled("first", "ann", "because"), 1),
        fact(Counted(1, 2), 2),
        fact(Labelled("first", "ann"), 3),
        fact(Labelled("last", "bob"), 4, encode_metadata(Metadata(who="eve", reason="late"))),
    ]
    await store.append(Append(StreamId("counter", "1"), 0, "c-1", facts))
    return store


@pytest.mark.parametrize(
    ("version", "expected"),
    [(1, Counter(1, "")), (2, Counter(1, "first")), (3, Counter(2, "first"))],
)
async def test_the_state_at_a_version(history: EventStore, version: int, expected: Counter) -> None:
    found = await state_at(history, model.events, KIND, "1", version=version)

    assert (found.state, found.version) == (expected, version)


async def test_the_state_at_a_moment(history: EventStore) -> None:
    at = NOON + timedelta(minutes=2)
    before = at - timedelta(microseconds=1)

    assert (await state_at(history, model.events, KIND, "1", at=at)).version == 3
    assert (await state_at(history, model.events, KIND, "1", at=before)).version == 2


async def test_the_newest_state(history: EventStore) -> None:
    found = await state_at(history, model.events, KIND, "1")

    assert (found.state, found.version) == (Counter(2, "last"), 5)
    assert found.occurred_at_us == microseconds(NOON + timedelta(minutes=4))


async def test_what_was_never_there_is_said_to_be_missing(history: EventStore) -> None:
    with pytest.raises(VersionNotFound, match="no version 6; its versions are 1 to 5"):
        await state_at(history, model.events, KIND, "1", version=6)
    with pytest.raises(VersionNotFound, match="no version 0"):
        await state_at(history, model.events, KIND, "1", version=0)
    with pytest.raises(StreamNotFound, match="did not exist at 2026-01-31T11:59:00"):
        await state_at(history, model.events, KIND, "1", at=NOON - timedelta(minutes=1))
    with pytest.raises(StreamNotFound, match="does not exist"):
        await state_at(history, model.events, KIND, "2", version=1)
    with pytest.raises(InvalidId):
        await state_at(history, model.events, KIND, "{1}")


async def test_why_names_the_events_that_set_each_field(history: EventStore) -> None:
    explanation = await explain(history, model.events, KIND, "1")

    assert (explanation.version, explanation.state) == (5, Counter(2, "last"))
    assert [(c.version, c.old, c.new) for c in explanation.changes["total"]] == [
        (1, 0, 1),
        (3, 1, 2),
    ]
    # Version 4 set the label to what it was: that is no change.
    assert [(c.version, c.old, c.new) for c in explanation.changes["label"]] == [
        (2, "", "first"),
        (5, "first", "last"),
    ]


async def test_why_says_who_and_for_what_reason(history: EventStore) -> None:
    explanation = await explain(history, model.events, KIND, "1", "label")

    first, last = explanation.changes["label"]
    assert (first.type, first.who, first.reason) == ("Labelled", "ann", "because")
    assert (last.who, last.reason) == ("eve", "late")
    assert last.occurred_at == NOON + timedelta(minutes=4)
    assert last.command_id == "c-1"
    assert list(explanation.changes) == ["label"]


async def test_why_of_what_is_not_there(history: EventStore) -> None:
    with pytest.raises(UnknownField, match="counter has no field 'colour'; it has: total, label"):
        await explain(history, model.events, KIND, "1", "colour")
    with pytest.raises(StreamNotFound):
        await explain(history, model.events, KIND, "2")


@pytest.mark.parametrize("version", range(1, 6))
async def test_a_step_has_the_states_on_both_sides_of_an_event(
    history: EventStore, version: int
) -> None:
    step = await step_to(history, model.events, KIND, "1", version)

    assert step.record.version == version
    after = await state_at(history, model.events, KIND, "1", version=version)
    assert step.after == after.state
    if version == 1:
        assert step.before == Counter()
    else:
        before = await state_at(history, model.events, KIND, "1", version=version - 1)
        assert step.before == before.state


async def test_a_step_names_the_fields_that_it_changed(history: EventStore) -> None:
    changed = [
        (await step_to(history, model.events, KIND, "1", version)).changed
        for version in range(1, 6)
    ]
    assert changed == [["total"], ["label"], ["total"], [], ["label"]]


async def test_there_is_no_step_to_a_version_that_is_not_there(history: EventStore) -> None:
    for version in (-1, 0, 6):
        with pytest.raises(VersionNotFound):
            await step_to(history, model.events, KIND, "1", version)
    with pytest.raises(StreamNotFound):
        await step_to(history, model.events, KIND, "2", 1)


async def test_a_moment_has_a_version(history: EventStore) -> None:
    at = NOON + timedelta(minutes=2, seconds=30)
    assert await version_at(history, model.events, KIND, "1", at) == 3
    with pytest.raises(StreamNotFound):
        await version_at(history, model.events, KIND, "1", NOON - timedelta(seconds=1))
