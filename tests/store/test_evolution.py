"""Events of the past, read by the classes of today."""

import json
from collections.abc import Sequence
from types import new_class
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.store.domain import account
from whence.store.append import Append, Conflicted, NewEvent
from whence.store.errors import CorruptStore, InvalidDomain, UnknownEventType, UpcastFailed
from whence.store.events import Event
from whence.store.eventstore import EventStore
from whence.store.recorded import Recorded
from whence.store.registry import Encoded, EventRegistry
from whence.store.upcasting import JsonObject, Part, Upcaster, retired, splitter, upcaster

# The story of these events. Version 1 of Placed had a price in euros; version 2 has it in cents,
# and version 3 has a currency as well. Paid was called Settled. "Finished" said two things at once,
# and "Printed" was a mistake.


class Placed(Event, version=3):
    cents: int
    currency: str
    note: str = ""


class Paid(Event, aliases=("Settled",), version=2):
    by: str
    cents: int


class Closed(Event):
    pass


@upcaster(Placed, version=1)
def in_cents(old: JsonObject) -> JsonObject:
    return {"cents": old.pop("euros") * 100, **old}


@upcaster(Placed, version=2)
def with_currency(old: JsonObject) -> JsonObject:
    return {**old, "currency": "EUR"}


@upcaster(Paid, version=1)
def with_cents(old: JsonObject) -> JsonObject:
    return {**old, "cents": 0}


@splitter("Finished", version=1, into={Paid: 1, Closed: 1})
def paid_and_closed(old: JsonObject) -> list[Part]:
    return [(Paid, {"by": old["by"]}), (Closed, {})]


UPCASTERS = [in_cents, with_currency, with_cents, paid_and_closed, retired("Printed", through=2)]
TYPES: list[type[Event]] = [Placed, Paid, Closed]
registry = EventRegistry(TYPES, UPCASTERS)


def stored(type_name: str, schema_version: int, data: object) -> Recorded:
    raw = json.dumps(data).encode()
    return Recorded(account(), 7, 0, 9, type_name, schema_version, raw, b"", "c", 0, 0)


def read(type_name: str, schema_version: int, data: object) -> Sequence[Event]:
    return registry.decode_all(stored(type_name, schema_version, data))


def test_an_event_of_today_is_read_as_it_is() -> None:
    assert read("Placed", 3, {"cents": 5, "currency": "SEK"}) == (Placed(5, "SEK"),)


@pytest.mark.parametrize(("version", "data"), [(1, {"euros": 3}), (2, {"cents": 300})])
def test_an_old_event_passes_through_each_later_upcaster(version: int, data: Any) -> None:
    assert read("Placed", version, data) == (Placed(300, "EUR"),)


def test_a_renamed_event_is_read_under_both_names_in_every_version() -> None:
    assert read("Settled", 2, {"by": "ann", "cents": 4}) == (Paid("ann", 4),)
    assert read("Paid", 2, {"by": "ann", "cents": 4}) == (Paid("ann", 4),)
    assert read("Settled", 1, {"by": "ann"}) == (Paid("ann", 0),)


def test_a_renamed_event_is_stored_under_its_new_name() -> None:
    assert registry.encode(Paid("ann", 4)).type == "Paid"


def test_one_stored_event_becomes_several_in_order() -> None:
    # Paid leaves the split in version 1, so its own upcaster goes on from there.
    assert read("Finished", 1, {"by": "ann"}) == (Paid("ann", 0), Closed())


@pytest.mark.parametrize("version", [1, 2])
def test_a_retired_event_becomes_none(version: int) -> None:
    assert read("Printed", version, {"anything": [1, 2]}) == ()


@pytest.mark.parametrize("name", ["Placed", "Finished", "Printed", "Settled"])
def test_a_version_from_the_future_is_an_error(name: str) -> None:
    with pytest.raises(UnknownEventType, match=f"version 7 of account/42 is a '{name}' of schema"):
        read(name, 4, {})


def test_a_name_from_the_future_is_an_error() -> None:
    with pytest.raises(UnknownEventType, match="known types: Placed, Paid, Closed"):
        read("Refunded", 1, {})


def test_fields_that_a_newer_release_added_do_not_hurt_an_older_one() -> None:
    assert read("Placed", 3, {"cents": 5, "currency": "SEK", "colour": "red"}) == (
        Placed(5, "SEK"),
    )
    assert read("Placed", 2, {"cents": 5, "colour": "red"}) == (Placed(5, "EUR"),)


def test_each_stored_name_that_cannot_become_an_event_is_known_to_be_passed_over() -> None:
    assert registry.passed_over([Closed]) == {"Placed", "Paid", "Settled", "Printed"}
    assert registry.passed_over([Paid]) == {"Placed", "Closed", "Printed"}


plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(st.integers(-(10**9), 10**9), st.text(), st.dictionaries(st.text(min_size=9), plain))
def test_what_was_upcast_equals_what_is_stored_new(euros: int, note: str, more: Any) -> None:
    old = stored("Placed", 1, {"euros": euros, "note": note, **more})
    new = registry.encode(Placed(euros * 100, "EUR", note))

    (event,) = registry.decode_all(old)

    assert event == new.event
    assert registry.encode(event) == new


@given(
    st.sampled_from(["Placed", "Settled", "Finished", "Printed"]),
    st.dictionaries(st.sampled_from(["euros", "by", "note"]), plain),
)
def test_reading_twice_gives_the_same_and_leaves_the_stored_bytes(name: str, data: Any) -> None:
    record = stored(name, 1, data)
    before = bytes(record.data)

    assert outcome(record) == outcome(record)
    assert record.data == before


def outcome(record: Recorded) -> object:
    try:
        return registry.decode_all(record)
    except CorruptStore as error:
        return str(error)


def test_what_one_part_of_a_split_becomes_does_not_reach_the_other() -> None:
    @splitter("Both", version=1, into={"Left": 1, "Right": 1})
    def both(old: JsonObject) -> list[Part]:
        return [("Left", old), ("Right", old)]

    @splitter("Left", version=1, into={Listed: 1})
    def left(old: JsonObject) -> list[Part]:
        old["names"].append("left")
        return [(Listed, old)]

    @splitter("Right", version=1, into={Listed: 1})
    def right(old: JsonObject) -> list[Part]:
        return [(Listed, old)]

    split = EventRegistry([Listed], [both, left, right])

    assert split.decode_all(stored("Both", 1, {"names": ["a"]})) == (
        Listed(("a", "left")),
        Listed(("a",)),
    )


class Listed(Event):
    names: tuple[str, ...]


class TestAnUpcasterThatFails:
    def test_names_the_event_and_what_went_wrong(self) -> None:
        with pytest.raises(
            UpcastFailed,
            match=r"the upcaster of Placed of schema version 1 failed on version 7 of account/42: "
            r"KeyError: 'euros'",
        ):
            read("Placed", 1, {})

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            (None, r"it gave None, which is not a JSON object"),
            ([1], r"it gave \[1\], which is not a JSON object"),
            ({"names": {1j}}, r"TypeError: Encoding objects of type complex"),
        ],
    )
    def test_gives_something_that_is_no_object(self, given: Any, message: str) -> None:
        second = new_class("Listed", (Event,), {"version": 2})
        broken = EventRegistry([second], [upcaster(second, version=1)(lambda _: given)])

        with pytest.raises(UpcastFailed, match=message):
            broken.decode_all(stored("Listed", 1, {}))

    def test_gives_an_event_that_it_did_not_announce(self) -> None:
        broken = EventRegistry(
            [Listed, Closed],
            [splitter("Old", version=1, into={Listed: 1})(lambda _: [(Closed, {})])],
        )

        with pytest.raises(UpcastFailed, match=r"it gave a Closed, which is not in its into="):
            broken.decode_all(stored("Old", 1, {}))

    def test_gives_what_its_class_cannot_read(self) -> None:
        with pytest.raises(
            CorruptStore,
            match="version 7 of account/42, brought up from Placed of schema version 1, is no "
            "valid Placed: Expected `int`",
        ):
            read("Placed", 1, {"euros": "x"})

    def test_meets_data_that_is_no_object(self) -> None:
        with pytest.raises(UpcastFailed, match="Expected `object`"):
            read("Placed", 1, [1])


def nothing(_: JsonObject) -> list[Part]:
    return []


def same(old: JsonObject) -> JsonObject:
    return old


@pytest.mark.parametrize(
    ("upcasters", "message"),
    [
        ([with_currency, with_cents], "Placed has no upcaster from schema version 1:"),
        ([with_cents], "Placed has no upcaster from schema version 1, 2:"),
        (
            [*UPCASTERS, upcaster(Placed, version=3)(same)],
            r"an upcaster begins at Placed of schema version 3, but the class Placed is of schema "
            r"version 3: is version=4 missing",
        ),
        ([*UPCASTERS, in_cents], "two upcasters begin at Placed of schema version 1"),
        ([*UPCASTERS, retired("Printed")], "two upcasters begin at Printed of schema version 1"),
        (
            [*UPCASTERS, upcaster("Gone", version=1)(same)],
            "an upcaster of Gone of schema version 1 leads to Gone of schema version 2, which has "
            "neither a class",
        ),
        (
            [*UPCASTERS, splitter("Gone", version=2, into={})(nothing)],
            "Gone has no upcaster from schema version 1:",
        ),
        (
            [*UPCASTERS, splitter("Gone", version=1, into={Placed: 4})(nothing)],
            "leads to Placed of schema version 4",
        ),
        (
            [*UPCASTERS, splitter("Gone", version=1, into={Listed: 1})(nothing)],
            "an upcaster names Listed, which no aggregate of this domain emits",
        ),
        (
            [
                *UPCASTERS,
                splitter("Here", version=1, into={"There": 1})(nothing),
                splitter("There", version=1, into={"Here": 1})(nothing),
            ],
            "the upcasters of Here of schema version 1 lead back to it",
        ),
        ([*UPCASTERS, retired("Settled")], "an upcaster names Settled, an alias of Paid"),
        ([*UPCASTERS, retired("Gone", through=0)], "an upcaster of Gone begins below"),
        ([*UPCASTERS, upcaster("Gone", version=0)(same)], "an upcaster of Gone begins below"),
    ],
)
def test_a_chain_that_is_not_complete_is_refused_at_start(
    upcasters: list[Upcaster], message: str
) -> None:
    with pytest.raises(InvalidDomain, match=message):
        EventRegistry(TYPES, upcasters)


@pytest.mark.parametrize("alias", ["Closed", "Paid", "Settled"])
def test_an_alias_belongs_to_one_class(alias: str) -> None:
    other = new_class("Other", (Event,), {"aliases": (alias,)})
    with pytest.raises(InvalidDomain, match=f"Other cannot have the alias {alias}, a name of"):
        EventRegistry([*TYPES, other], UPCASTERS)


def test_a_class_is_no_alias_of_itself() -> None:
    itself = new_class("Other", (Event,), {"aliases": ("Other",)})
    with pytest.raises(InvalidDomain, match="Other cannot have the alias Other"):
        EventRegistry([itself])


async def test_upcasting_changes_neither_bytes_nor_versions_nor_positions(
    store: EventStore,
) -> None:
    raw = [
        ("Placed", 1, b'{"euros": 3}'),
        ("Printed", 2, b"{}"),
        ("Finished", 1, b'{"by": "ann"}'),
    ]
    events = [NewEvent(Encoded(*one, Closed())) for one in raw]
    await store.append(Append(account(), 0, "c-1", events))

    records = [record async for record in store.read(account())]
    decoded = [registry.decode_all(record) for record in records]
    again = await store.append(Append(account(), 0, "c-2", [NewEvent(registry.encode(Closed()))]))

    assert decoded == [(Placed(300, "EUR"),), (), (Paid("ann", 0), Closed())]
    assert [(r.type, r.schema_version, r.data) for r in records] == raw
    assert [(r.version, r.position) for r in records] == [(1, 1), (2, 2), (3, 3)]
    assert isinstance(again, Conflicted)
    assert (again.head, again.missed) == (3, records)
