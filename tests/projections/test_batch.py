"""What a batch of events makes of the rows: pure, so without a store."""

from collections.abc import Sequence

import msgspec
import pytest
from msgspec.structs import replace

from whence.projections.batch import Batch, Refused
from whence.projections.notes import Note, Skipped, encode
from whence.projections.projection import Projection, on
from whence.projections.readmodel import ReadModel
from whence.projections.views import Views
from whence.store.events import Event
from whence.store.ids import StreamId
from whence.store.recorded import Recorded
from whence.store.registry import EventRegistry


class Said(Event):
    words: tuple[str, ...]


class Line(msgspec.Struct, frozen=True):
    text: str = ""


class Script(Projection[Line]):
    """Does what the words say, so that each test reads like a script."""

    @on(Said)
    def said(self, event: Said, record: Recorded, views: Views[Line]) -> None:
        for word in event.words:
            action, _, key = word.partition(" ")
            match action:
                case "put":
                    views.put(key, Line("put"))
                case "delete":
                    views.delete(key)
                case "add":
                    views.update(key, _longer, start=Line())
                case "update":
                    views.update(key, _longer)
                case "wrong":
                    views.put(key, 5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
                case _:
                    raise ArithmeticError(word)


def _longer(line: Line) -> Line:
    return Line(line.text + "+")


registry = EventRegistry([Said])
script = ReadModel([Script], registry).projection("script")


def said(*sentences: Sequence[str], schema_version: int = 1) -> list[Recorded]:
    """One event per sentence, at versions and positions from 1."""
    return [
        Recorded(
            StreamId("play", "x"), n, 0, n, "Said", schema_version,
            registry.encode(Said(tuple(words))).data, b"", "c", 0, n,
        )
        for n, words in enumerate(sentences, 1)
    ]  # fmt: skip


def settled(batch: Batch, **stored: bytes) -> dict[str, bytes | None]:
    change = batch.settle({key: stored.get(key) for key in batch.wanted})
    assert change is not None
    return change.rows


def test_operations_apply_in_order() -> None:
    batch = Batch(script, said(["put a", "update a"], ["update a", "put b"], ["delete b"]))
    assert settled(batch) == {"a": b'{"text":"put++"}', "b": None}
    assert batch.failure is None


def test_only_rows_that_an_update_starts_from_are_loaded() -> None:
    batch = Batch(script, said(["put a", "update a", "update b", "delete c", "add c"]))
    assert batch.wanted == {"b"}
    assert settled(batch, b=b'{"text":"old"}') == {
        "a": b'{"text":"put+"}',
        "b": b'{"text":"old+"}',
        "c": b'{"text":"+"}',
    }


def test_start_is_for_a_row_that_is_not_there() -> None:
    batch = Batch(script, said(["add new", "add old"], ["delete old", "add old"]))
    assert settled(batch, old=b'{"text":"....."}') == {
        "new": b'{"text":"+"}',
        "old": b'{"text":"+"}',
    }


def test_a_change_ends_where_its_last_event_stands() -> None:
    records = said(["put a"], [], ["put b"], [])
    change = Batch(script, records).settle({})
    assert change is not None
    assert (change.events, change.position, change.anchor) == (4, 4, "play/x@4#4")


@pytest.mark.parametrize(
    ("sentence", "why"),
    [
        (["put c", "explode"], "ArithmeticError: explode"),
        (["put c", "update missing"], "InvalidRow: the row 'missing' of script"),
        (["put c", "wrong d"], "InvalidRow: the row 'd' of script is not acceptable: it is not a"),
        (["put c", "put "], "ValueError: '' is not a row's key"),
    ],
)
def test_an_event_that_cannot_be_applied_ends_the_batch_before_it(
    sentence: list[str], why: str
) -> None:
    batch = Batch(script, said(["put a"], ["put b"], sentence, ["put e"]))
    change = batch.settle(dict.fromkeys(batch.wanted))
    assert change is not None
    assert set(change.rows) == {"a", "b"}
    assert change.position == 2
    assert batch.failure is not None
    assert batch.failure.position == 3
    assert why in str(batch.failure)
    assert "cannot apply Said, version 3 of play/x (position 3 of partition 0)" in str(
        batch.failure
    )


def test_when_the_first_event_cannot_be_applied_there_is_no_change() -> None:
    batch = Batch(script, said(["explode"], ["put a"]))
    assert batch.settle({}) is None
    assert batch.failure is not None


def test_an_event_of_an_unknown_schema_version_is_not_guessed_at() -> None:
    batch = Batch(script, said(["put a"], schema_version=2))
    assert batch.settle({}) is None
    assert "UnknownEventType" in str(batch.failure)


def by(stream: str, record: Recorded) -> Recorded:
    return replace(record, stream=StreamId("play", stream))


class TestWithRoomToPark:
    def test_a_stream_waits_from_its_first_failure_on_and_the_others_go_on(self) -> None:
        one, two, three, four = said(["put a"], ["put b", "explode"], ["put c"], ["put d"])
        records = [one, two, three, by("y", four)]
        batch = Batch(script, records, room=1)
        assert settled(batch) == {"a": b'{"text":"put"}', "d": b'{"text":"put"}'}
        assert batch.failure is None
        ((stream, note),) = batch.parked.items()
        assert str(stream) == "play/x"
        assert (note.version, note.position, note.type) == (2, 2, "Said")
        assert note.reason == "ArithmeticError: explode"

    def test_the_earliest_failure_counts_wherever_it_shows(self) -> None:
        # The row of the first is refused after the handlers have run, and the third by its handler.
        records = said(["put a"], ["wrong b"], ["explode"])
        batch = Batch(script, records, room=1)
        assert set(settled(batch)) == {"a"}
        assert [note.version for note in batch.parked.values()] == [2]

    def test_what_a_database_refuses_waits_from_its_first_event_on(self) -> None:
        batch = Batch(script, said(["put a"], ["put b"], ["put c"]), room=1)
        batch.refuse(Refused({2: ValueError("later"), 1: ValueError("first")}))
        assert [note.version for note in batch.parked.values()] == [2]
        assert set(settled(batch)) == {"a"}

    def test_a_row_is_not_what_a_parked_stream_would_have_made_of_it(self) -> None:
        one, two = said(["put a", "wrong b"], ["update a"])
        batch = Batch(script, [one, by("y", two)], room=1)
        assert settled(batch, a=b'{"text":"old"}') == {"a": b'{"text":"old+"}'}

    def test_what_waits_or_is_skipped_is_passed(self) -> None:
        one, two, three = said(["explode"], ["put b"], ["explode"])
        records = [by("waits", one), by("y", two), three]
        batch = Batch(
            script,
            records,
            parked=[StreamId("play", "waits")],
            skipped=[Skipped(StreamId("play", "x"), 3)],
        )
        change = batch.settle({})
        assert change is not None
        assert (set(change.rows), change.position, batch.parked) == ({"b"}, 3, {})

    def test_when_the_room_is_used_up_the_batch_ends_before_the_next_failure(self) -> None:
        one, two, three, four = said(["explode"], ["put b"], ["explode"], ["put d"])
        records = [one, by("y", two), by("y", three), by("z", four)]
        batch = Batch(script, records, room=1)
        change = batch.settle({})
        assert change is not None
        assert (change.position, set(change.rows)) == (2, {"b"})
        assert change.notes.keys() == batch.parked.keys() == {StreamId("play", "x")}
        assert batch.failure is not None
        assert "1 aggregates of this partition are parked" in str(batch.failure)

    def test_what_was_parked_behind_the_end_of_a_batch_is_not(self) -> None:
        # The handler of the third fails first, and then there is no room for the second.
        one, two, three = said(["put a"], ["wrong b"], ["explode"])
        batch = Batch(script, [one, by("y", two), by("z", three)], room=1)
        change = batch.settle({})
        assert change is not None
        assert (change.position, change.notes) == (1, {})

    def test_a_reason_is_kept_short_and_can_always_be_stored(self) -> None:
        note = Note.of(said([])[0], ValueError("\ud800" + "x" * 10_000))
        assert len(note.reason) < 600
        assert encode(note)
