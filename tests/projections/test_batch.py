"""What a batch of events makes of the rows: pure, so without a store."""

from collections.abc import Sequence

import msgspec
import pytest

from whence.projections.batch import Batch
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
