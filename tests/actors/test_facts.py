"""Facts from elsewhere, appended as they happened."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from tests.actors.domain import Counted, Counter, Labelled, model
from whence.actors.facts import HISTORIES_PER_CALL, Fact, History, ImportReport, import_history
from whence.actors.history import state_at
from whence.store.errors import InvalidEvent, InvalidId
from whence.store.events import Event
from whence.store.eventstore import EventStore
from whence.store.ids import StreamId
from whence.store.metadata import Metadata

START = datetime(2017, 1, 1, tzinfo=UTC)


class Stranger(Event):
    pass


def history(id_: str, *events: Event, start: datetime = START) -> History:
    """Events one day after the other."""
    facts = [Fact(event, start + timedelta(days=day)) for day, event in enumerate(events)]
    return History(Counter, id_, facts)


def counted(id_: str, count: int) -> History:
    return history(id_, *(Counted(1, total) for total in range(1, count + 1)))


async def imported(store: EventStore, *histories: History, source: str = "test") -> ImportReport:
    return await import_history(store, model, histories, source=source)


async def test_facts_keep_their_moments_and_metadata(store: EventStore) -> None:
    fact = Fact(Labelled("a", "ada"), START, Metadata(notes={"source": "a book"}))
    report = await imported(store, History(Counter, "1", [fact]))
    assert report == ImportReport(imported=1, events=1)
    (record,) = [record async for record in store.read(StreamId("counter", "1"))]
    assert record.occurred_at == START
    assert record.metadata == fact.metadata
    assert (record.command_id, record.imported) == ("import:test:1", True)


async def test_the_state_is_that_of_the_facts_at_any_moment(store: EventStore) -> None:
    await imported(store, counted("1", 3))
    kind = model.of_class(Counter)
    at = START + timedelta(days=1, hours=1)
    found = await state_at(store, model.events, kind, "1", at=at)
    assert (found.version, found.state) == (2, Counter(total=2))


async def test_a_second_import_recognises_each_and_adds_what_is_missing(store: EventStore) -> None:
    await imported(store, counted("1", 2), counted("2", 1))
    again = await imported(store, counted("1", 2), counted("2", 1), counted("3", 1))
    assert again == ImportReport(imported=1, already_there=2, events=1)


async def test_the_same_history_twice_in_one_import_is_recognised(store: EventStore) -> None:
    report = await imported(store, counted("1", 2), counted("1", 2))
    assert report == ImportReport(imported=1, already_there=1, events=2)


@pytest.mark.parametrize(
    "other",
    [
        counted("1", 3),
        history("1", Counted(2, 2)),
        history("1", Counted(1, 1), Counted(1, 2), start=START + timedelta(hours=1)),
    ],
    ids=["longer", "another event", "other moments"],
)
async def test_another_past_is_a_conflict_and_changes_nothing(
    store: EventStore, other: History
) -> None:
    await imported(store, counted("1", 2))
    report = await imported(store, other, counted("2", 1))
    assert report == ImportReport(imported=1, events=1, conflicts=[StreamId("counter", "1")])
    assert await store.head(StreamId("counter", "1")) == 2


async def test_what_another_source_has_stored_is_a_conflict(store: EventStore) -> None:
    await imported(store, counted("1", 2))
    report = await imported(store, counted("1", 2), source="other")
    assert report.conflicts == [StreamId("counter", "1")]


async def test_progress_is_told_after_each_call_to_the_server(store: EventStore) -> None:
    told: list[int] = []
    count = 2 * HISTORIES_PER_CALL + 1
    await import_history(
        store,
        model,
        (counted(str(number), 1) for number in range(count)),
        source="test",
        progress=lambda report: told.append(report.imported),
    )
    assert told == [HISTORIES_PER_CALL, 2 * HISTORIES_PER_CALL, count]


async def test_no_more_than_one_call_is_read_ahead(store: EventStore) -> None:
    read = 0

    def endless() -> Iterator[History]:
        nonlocal read
        while True:
            read += 1
            yield counted(str(read), 1)

    class StopError(Exception):
        pass

    def stop(report: ImportReport) -> None:
        raise StopError

    with pytest.raises(StopError):
        await import_history(store, model, endless(), source="test", progress=stop)
    assert read <= HISTORIES_PER_CALL + 1


@pytest.mark.parametrize(
    ("wrong", "error", "sentence"),
    [
        (history("1", Stranger()), InvalidEvent, "is not an event of counter/1"),
        (history("1", Counted(1, 1), start=datetime(2017, 1, 1)), InvalidEvent, "no time zone"),
        (history("{1}", Counted(1, 1)), InvalidId, "is not a valid id"),
        (history("1"), InvalidEvent, "has 0 events"),
        (
            History(Counter, "1", counted("1", 2).facts[::-1]),
            InvalidEvent,
            "occurred_at never goes back",
        ),
    ],
    ids=["stranger", "naive", "id", "empty", "backwards"],
)
async def test_what_cannot_be_stored_is_refused(
    store: EventStore, wrong: History, error: type[Exception], sentence: str
) -> None:
    with pytest.raises(error, match=sentence):
        await imported(store, wrong)
    assert await store.head(StreamId("counter", "1")) == 0
