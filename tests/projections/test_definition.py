"""What a projection may be, and the sentence that says why not."""

from typing import Any

import msgspec
import pytest

from tests.projections.domain import Counts, Delivered, ParcelRow, Parcels, Sent, Weighed, events
from whence.projections.projection import Projection, on
from whence.projections.readmodel import ReadModel
from whence.projections.rows import Rows
from whence.projections.settings import WorkerSettings
from whence.projections.views import Views
from whence.store.errors import (
    InvalidDomain,
    InvalidRow,
    InvalidSetting,
    RowMismatch,
    UnknownProjection,
)
from whence.store.events import Event
from whence.store.recorded import Recorded


class Foreign(Event):
    pass


class Row(msgspec.Struct, frozen=True):
    n: int = 0
    x: float = 0.0


def test_the_name_is_the_class_name_in_kebab_case_or_what_the_class_says() -> None:
    class ParcelsPerDay(Projection[Row]):
        @on(Sent)
        def sent(self, event: Sent, record: Recorded, views: Views[Row]) -> None: ...

    class Renamed(ParcelsPerDay, name="parcels.v2"):
        pass

    model = ReadModel([ParcelsPerDay, Renamed], events)
    assert list(model.projections) == ["parcels-per-day", "parcels.v2"]
    assert model.projection("parcels.v2").rows.cls is Row


def test_a_projection_that_is_not_there_is_an_error_that_names_those_that_are() -> None:
    with pytest.raises(UnknownProjection, match=r"'parcel'.*counts, parcels"):
        ReadModel([Parcels, Counts], events).projection("parcel")


def test_two_projections_cannot_have_one_name() -> None:
    class Other(Parcels, name="parcels"):
        pass

    with pytest.raises(InvalidDomain, match="two projections are named 'parcels'"):
        ReadModel([Parcels, Other], events)


def _no_rows() -> type[Projection[Any]]:
    class Broken(Projection):  # type: ignore[type-arg]  # pyright: ignore[reportMissingTypeArgument]
        @on(Sent)
        def sent(self, event: Sent, record: Recorded, views: Views[Any]) -> None: ...

    return Broken


def _no_handler() -> type[Projection[Any]]:
    class Broken(Projection[Row]):
        pass

    return Broken


def _two_handlers() -> type[Projection[Any]]:
    class Broken(Projection[Row]):
        @on(Sent)
        def one(self, event: Sent, record: Recorded, views: Views[Row]) -> None: ...

        @on(Sent, Weighed)
        def two(self, event: Sent | Weighed, record: Recorded, views: Views[Row]) -> None: ...

    return Broken


def _wrong_signature() -> type[Projection[Any]]:
    class Broken(Projection[Row]):
        @on(Sent, Weighed)
        def sent(self, event: Sent | Weighed, views: Views[Row]) -> None: ...

    return Broken


def _async_handler() -> type[Projection[Any]]:
    class Broken(Projection[Row]):
        async def sent(self, event: Sent, record: Recorded, views: Views[Row]) -> None: ...

    on(Sent)(Broken.sent)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    return Broken


def _foreign_event() -> type[Projection[Any]]:
    class Broken(Projection[Row]):
        @on(Foreign)
        def sent(self, event: Foreign, record: Recorded, views: Views[Row]) -> None: ...

    return Broken


def _no_event() -> type[Projection[Any]]:
    class Broken(Projection[Row]):
        @on(Sent, ParcelRow)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        def sent(self, event: Any, record: Recorded, views: Views[Row]) -> None: ...

    return Broken


def _mutable_rows() -> type[Projection[Any]]:
    class Loose(msgspec.Struct):
        n: int

    class Broken(Projection[Loose]):
        @on(Sent)
        def sent(self, event: Sent, record: Recorded, views: Views[Loose]) -> None: ...

    return Broken


def _array_rows() -> type[Projection[Any]]:
    class Array(msgspec.Struct, frozen=True, array_like=True):
        n: int

    class Broken(Projection[Array]):
        @on(Sent)
        def sent(self, event: Sent, record: Recorded, views: Views[Array]) -> None: ...

    return Broken


def _name_of_another_slot() -> type[Projection[Any]]:
    class Broken(Parcels, name="a}b"):
        pass

    return Broken


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (_no_rows, r"Broken does not name its rows: class Broken\(Projection\[SomeStruct\]\)"),
        (_no_handler, r"Broken handles no event: mark a method with @on"),
        (_two_handlers, r"Broken has two handlers for Sent"),
        (_wrong_signature, r"Broken.sent must take \(self, event, record, views\), not"),
        (_async_handler, r"Broken.sent must be a plain method"),
        (_foreign_event, r"Broken.sent handles Foreign, which no aggregate .* has: Sent, Weighed"),
        (_no_event, r"Broken.sent is @on\(<class .*ParcelRow'>\), which is not an event class"),
        (_mutable_rows, r"Loose must be frozen"),
        (_array_rows, r"Array cannot be array_like"),
        (_name_of_another_slot, r"'a\}b' cannot be the name of a projection"),
    ],
)
def test_a_class_that_contradicts_itself_is_refused_at_start(make: Any, sentence: str) -> None:
    broken = make()
    with pytest.raises(InvalidDomain, match=sentence):
        ReadModel([broken], events)


def test_a_subclass_may_replace_a_handler() -> None:
    class Quiet(Parcels):
        @on(Delivered)
        def delivered(
            self, event: Delivered, record: Recorded, views: Views[ParcelRow]
        ) -> None: ...

    ReadModel([Quiet], events)


@pytest.mark.parametrize("key", ["", "x" * 513, "\ud800", 7])
def test_a_key_is_text_that_can_be_stored(key: Any) -> None:
    with pytest.raises(ValueError):
        Views[Row]().put(key, Row())


class TestRows:
    rows = Rows("some-view", Row)

    def test_a_row_comes_back_as_it_went_in(self) -> None:
        row = Row(3, 0.5)
        assert self.rows.decode("k", self.rows.encode("k", row)) == row

    @pytest.mark.parametrize("row", [Row(x=float("nan")), Row(n="3"), ParcelRow("Riga", 1), 5])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    def test_a_row_that_would_change_in_storage_is_refused(self, row: Any) -> None:
        with pytest.raises(InvalidRow, match="the row 'k' of some-view is not acceptable"):
            self.rows.encode("k", row)

    def test_a_stored_row_of_another_class_says_how_to_make_it_anew(self) -> None:
        with pytest.raises(RowMismatch, match=r"'k' of some-view is no Row .* rebuild some-view"):
            self.rows.decode("k", b'{"n": "three"}')


@pytest.mark.parametrize("name", ["lease_ms", "poll_ms", "retry_ms", "longest_retry_ms", "batch"])
def test_settings_that_cannot_work_are_refused(name: str) -> None:
    with pytest.raises(InvalidSetting, match=f"{name} must be 1 or more, not 0"):
        WorkerSettings(**{name: 0})  # type: ignore[arg-type]
    with pytest.raises(InvalidSetting, match=r"poll_ms \(500\) must not be longer than lease_ms"):
        WorkerSettings(lease_ms=400, poll_ms=500)
