"""Only what survives storage is stored, and only what was stored is read."""

import math
from collections.abc import Sequence
from types import new_class
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.store.domain import Deposited, Opened, Weighed, account, append_of, registry
from whence.store.errors import CorruptStore, InvalidDomain, InvalidEvent, UnknownEventType
from whence.store.events import Event
from whence.store.eventstore import EventStore
from whence.store.registry import EventRegistry
from whence.store.upcasting import upcaster


class Free(Event):
    anything: Any


class Listed(Event):
    names: Sequence[str]


free = EventRegistry([Free, Listed])


def test_an_event_comes_back_equal() -> None:
    encoded = registry.encode(Weighed(1.5, ("a",)))

    assert (encoded.type, encoded.schema_version) == ("Weighed", 3)
    assert encoded.data == b'{"kilograms":1.5,"tags":["a"]}'
    assert encoded.event == Weighed(1.5, ("a",))


@given(
    st.floats(allow_nan=False, allow_infinity=False),
    st.lists(st.text(st.characters(exclude_categories=["Cs"]))),
)
def test_every_event_that_is_accepted_comes_back_equal(weight: float, tags: list[str]) -> None:
    event = Weighed(weight, tuple(tags))

    assert registry.encode(event).event == event


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_number_that_json_cannot_write_is_refused(number: float) -> None:
    with pytest.raises(InvalidEvent, match="Weighed"):
        registry.encode(Weighed(number))
    with pytest.raises(InvalidEvent, match="would change in storage"):
        free.encode(Free({"deep": [number]}))


def test_a_value_that_would_come_back_as_another_is_refused() -> None:
    with pytest.raises(InvalidEvent, match="would change in storage"):
        free.encode(Listed(("a", "b")))


def test_half_of_a_surrogate_pair_is_refused() -> None:
    with pytest.raises(InvalidEvent, match="cannot be stored"):
        registry.encode(Opened("\ud800"))


def test_a_structure_without_end_is_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(InvalidEvent, match="cannot be stored"):
        free.encode(Free(endless))


def test_too_large_an_event_is_refused() -> None:
    with pytest.raises(InvalidEvent, match="1,000,0"):
        registry.encode(Opened("x" * 1_000_000))


def test_an_event_of_another_domain_is_refused() -> None:
    with pytest.raises(InvalidEvent, match="Opened, Deposited, Weighed"):
        registry.encode(Free(1))


def test_two_events_of_one_name_are_refused() -> None:
    twin = type("Opened", (Event,), {"__annotations__": {"other": int}})

    with pytest.raises(InvalidDomain, match="two event classes are named Opened"):
        EventRegistry([Opened, twin])


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"frozen": False}, "never change"),
        ({"array_like": True}, "swap"),
        ({"version": 0}, "at 1"),
        ({"forbid_unknown_fields": True}, "must be able to read its events"),
        ({"aliases": "Old"}, r'aliases=\("Old",\)'),
    ],
)
def test_an_event_class_that_could_harm_the_log_is_refused(
    config: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidDomain, match=message):
        new_class("Odd", (Event,), config)


def test_events_are_immutable() -> None:
    with pytest.raises(AttributeError):
        Opened("ann").owner = "eve"  # pyright: ignore


async def test_an_event_of_unknown_type_or_version_is_an_error_on_reading(
    store: EventStore,
) -> None:
    await store.append(append_of(account(), 0, Opened("ann"), Weighed(1.0)))
    records = [record async for record in store.read(account())]
    version_2 = new_class("Weighed", (Event,), {"version": 2})
    older = EventRegistry([Deposited, version_2], [upcaster(version_2, version=1)(dict)])

    with pytest.raises(UnknownEventType, match=r"version 1 of account/42 is a 'Opened'"):
        older.decode_all(records[0])
    with pytest.raises(UnknownEventType, match="it knows schema version 2"):
        older.decode_all(records[1])


async def test_stored_data_that_does_not_fit_its_type_is_an_error_on_reading(
    store: EventStore,
) -> None:
    await store.append(append_of(account(), 0, Opened("ann")))
    (record,) = [record async for record in store.read(account())]
    other = EventRegistry([type("Opened", (Event,), {"__annotations__": {"owner": int}})])

    with pytest.raises(CorruptStore, match="version 1 of account/42 is no valid Opened"):
        other.decode_all(record)
