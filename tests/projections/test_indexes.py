"""Declared indexes find and order just what a look at every row would."""

import enum
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any, ClassVar, Literal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.projections.domain import (
    QUICK,
    Delivered,
    ParcelRow,
    Parcels,
    Sent,
    Weighed,
    events,
    only,
    parcel,
    record,
    working,
)
from tests.projections.stored import raw
from tests.store.servers import EVERYWHERE
from whence.projections.generations import generations, outdated
from whence.projections.indexes import TEXT_BYTES, Indexes, encode_value, split
from whence.projections.projection import Projection, on
from whence.projections.query import Page, find
from whence.projections.rebuild import rebuild
from whence.projections.rows import Rows
from whence.projections.status import wait_until_caught_up
from whence.projections.views import Views
from whence.store.errors import InvalidDomain, InvalidInput
from whence.store.eventstore import EventStore, open_store
from whence.store.recorded import Recorded
from whence.store.wire import Command, Reply


class Indexed(Parcels, name="parcels", indexes=["city", "grams", "delivered"]):
    pass


indexed = only(Indexed).projection("parcels")
CITIES = ("Riga", "Oslo", "Rīga", "R", "", "a\0b", "a")


class TestAValue:
    def test_is_in_its_order_as_bytes(self) -> None:
        assert sorted(CITIES, key=encode_value) == sorted(CITIES)
        moments = [
            datetime(2026, 1, 1, tzinfo=UTC),
            datetime(2026, 1, 1, 0, 30, tzinfo=timezone(timedelta(hours=-1))),
            datetime(2026, 1, 1, 0, 0, 0, 5, tzinfo=UTC),
            datetime(1969, 1, 1, tzinfo=UTC),
        ]
        assert sorted(moments, key=encode_value) == sorted(moments)
        days = [date(2026, 1, 1), date(1, 1, 1), date(2025, 12, 31)]
        assert sorted(days, key=encode_value) == sorted(days)
        assert encode_value(None) < encode_value(False) < encode_value(True) < encode_value(-9)

    @given(st.lists(st.integers() | st.floats(allow_nan=False) | st.just(2**53 + 1)))
    def test_that_is_a_number_is_in_its_order(self, numbers: list[float]) -> None:
        within = [n for n in numbers if abs(n) < 2**63]
        coded = sorted(within, key=encode_value)
        assert coded == sorted(within)

    @given(st.text(max_size=30), st.text(max_size=30))
    def test_that_is_text_is_in_its_order_and_ends(self, left: str, right: str) -> None:
        one, other = encode_value(left) + b"\x7fkey", encode_value(right) + b"\x00key"
        if left != right:
            assert (one < other) == (left < right)
        assert split(encode_value(left) + right.encode()) == (encode_value(left), right.encode())

    def test_that_is_long_is_cut(self) -> None:
        assert encode_value("x" * TEXT_BYTES) == encode_value("x" * 10_000)


class Colour(enum.Enum):
    RED = "red"


class TestADeclaration:
    def test_names_fields_that_have_an_order(self) -> None:
        class Row(msgspec.Struct, frozen=True):
            a: int | None
            b: Colour | None
            e: Literal["x", 1]
            c: tuple[int, ...]
            d: datetime

        assert Indexes(Rows("some-view", Row), ["d", "e", "a", "b"]).fields == (
            "a",
            "b",
            "d",
            "e",
        )
        for field in ("c", "f"):
            with pytest.raises(InvalidDomain, match=f"cannot have an index on .?{field}"):
                Indexes(Rows("some-view", Row), [field])
        with pytest.raises(InvalidDomain, match="names an index twice"):
            Indexes(Rows("some-view", Row), ["a", "a"])

    def test_does_not_go_with_a_merge(self) -> None:
        class Merged(Parcels, name="parcels", indexes=["city"]):
            def merge(self, left: ParcelRow, right: ParcelRow) -> ParcelRow:
                return left

        with pytest.raises(InvalidDomain, match="has a merge and cannot have indexes"):
            Merged(events)

    def test_is_a_version_of_its_own(self) -> None:
        assert indexed.revision == "1 with indexes on city, delivered, grams"

        class One(Parcels, version=3, indexes=["city"]):
            pass

        assert One(events).revision == "3 with an index on city"


@pytest.fixture
async def filled(store: EventStore) -> EventStore:
    """Rows that were put, updated and deleted, by a worker."""

    class Deleting(Indexed, name="parcels"):
        @on(Delivered)
        def delivered(self, event: Delivered, record: Recorded, views: Views[ParcelRow]) -> None:
            if record.id.endswith("9"):
                views.delete(record.id)
            else:
                views.update(record.id, lambda row: replace(row, delivered=True))

    async with working(store, only(Deleting), QUICK):
        for n in range(60):
            new = [Sent(CITIES[n % len(CITIES)], n % 7 - 3)]
            if n % 3 == 0:
                new.append(Sent(CITIES[n % 4], n))  # put over what is there
            await record(store, parcel(n), *new)
            if n % 2:
                await record(store, parcel(n), Weighed(n % 5), Delivered())
        await wait_until_caught_up(store, indexed)
    return store


async def plain(store: EventStore, where: Mapping[str, str], order: str) -> list[tuple[str, Any]]:
    """The same by looking at every row."""
    page = await find(store, only(Parcels).projection("parcels"), where=where, limit=1_000)
    if not order:
        return page.rows
    field = order.removeprefix("-")
    return sorted(
        page.rows,
        key=lambda item: (encode_value(getattr(item[1], field)), item[0].encode()),
        reverse=order.startswith("-"),
    )


async def paged(
    store: EventStore, where: Mapping[str, str], order: str | None, limit: int
) -> tuple[list[tuple[str, Any]], set[int]]:
    rows: list[tuple[str, Any]] = []
    totals: set[int] = set()
    after: str | None = None
    while True:
        page: Page[Any] = await find(
            store, indexed, where=where, order=order, limit=limit, after=after
        )
        rows += page.rows
        totals.add(page.total)
        if page.next is None:
            return rows, totals
        after = page.next


class TestAPage:
    pytestmark = EVERYWHERE
    WHERE: ClassVar[list[dict[str, str]]] = [
        {},
        {"city": "Riga"},
        {"city": "a\0b"},
        {"city": "nowhere"},
        {"grams": "2"},
        {"grams": "two"},
        {"delivered": "true"},
        {"city": "Oslo", "delivered": "false"},
        {"events": "1"},
        {"events": "1", "city": "R"},
    ]

    async def test_is_what_a_look_at_every_row_finds(self, filled: EventStore) -> None:
        for where in self.WHERE:
            for order in ("", "grams", "-grams", "city", "-city", "-delivered"):
                expected = await plain(filled, where, order)
                for limit in (7, 1_000):
                    rows, totals = await paged(filled, where, order or None, limit)
                    assert rows == expected, (where, order, limit)
                    assert totals == {len(expected)}, (where, order, limit)

    async def test_by_an_index_reads_no_more_than_it_needs(
        self, filled: EventStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked: list[str] = []
        ask_many = filled.ask_many

        async def heard(commands: list[Command]) -> list[Reply]:
            asked.extend(str(command[0]) for command in commands)
            return await ask_many(commands)

        monkeypatch.setattr(filled, "ask_many", heard)
        await find(filled, indexed, where={"city": "Riga"}, limit=5)
        await find(filled, indexed, order="-grams", limit=5)
        await find(filled, indexed, where={"city": "Oslo", "events": "1"}, order="grams")
        assert "HSCAN" not in asked
        assert "HMGET" in asked

    async def test_leaves_nothing_in_an_index_that_is_not_in_the_view(
        self, filled: EventStore
    ) -> None:
        rows = dict((await find(filled, indexed, limit=1_000)).rows)
        members: set[bytes] = set()
        for n in range(8):
            members |= set(await filled.ask("ZRANGE", filled.keys.index(n, "parcels"), 0, -1))
        assert members == {m for k, row in rows.items() for m in indexed.indexes.members(k, row)}

    async def test_of_a_view_made_anew_has_the_same_indexes(self, filled: EventStore) -> None:
        await rebuild(filled, indexed)
        rows, totals = await paged(filled, {}, "-grams", 9)
        assert totals == {60}
        grams = [row.grams for _, row in rows]
        assert grams == sorted(grams, reverse=True)
        assert await filled.ask("EXISTS", filled.keys.index(0, "parcels@2")) == 1

    async def test_in_an_order_without_an_index_is_refused(self, filled: EventStore) -> None:
        with pytest.raises(InvalidInput, match=r"cannot be ordered by 'events': .* by city, deliv"):
            await find(filled, indexed, order="events")
        with pytest.raises(InvalidInput, match="by nothing but their keys"):
            await find(filled, only(Parcels).projection("parcels"), order="city")
        with pytest.raises(InvalidInput, match="is no place between two pages"):
            await find(filled, indexed, order="city", after="ü")


async def test_a_view_without_the_index_is_read_as_before_and_said_to_be_outdated(
    store: EventStore,
) -> None:
    async with working(store, only(Parcels)):
        for n in range(20):
            await record(store, parcel(n), Sent("Riga", 20 - n))
        await wait_until_caught_up(store, indexed)
    found = await generations(store, indexed)
    assert "this code has version 1 with indexes on" in outdated(indexed, found)
    page = await find(store, indexed, where={"city": "Riga"}, order="grams", limit=3)
    assert ([row.grams for _, row in page.rows], page.total) == ([1, 2, 3], 20)
    await rebuild(store, indexed)
    assert outdated(indexed, await generations(store, indexed)) == ""
    page = await find(store, indexed, where={"city": "Riga"}, order="grams", limit=3)
    assert ([row.grams for _, row in page.rows], page.total) == ([1, 2, 3], 20)


class Wide(msgspec.Struct, frozen=True):
    value: int | float | str | bool | None


@settings(max_examples=60)
@given(
    st.lists(
        st.integers(-3, 3)
        | st.sampled_from([0.0, -0.0, 1.0, 2.5, 2**60, 2**60 + 1])
        | st.text("ab\0", max_size=3)
        | st.booleans()
        | st.none(),
        max_size=12,
    )
)
def test_where_a_value_may_be_is_where_it_is(values: list[Any]) -> None:
    """Each row that a condition would match lies in a range, and in an exact one nothing else."""
    indexes = Indexes(Rows("wide", Wide), ["value"])
    for text in [msgspec.json.encode(value).decode().strip('"') for value in values]:
        ranges = indexes.ranges("value", text)
        for value in values:
            matches = msgspec.json.encode(value) in {text.encode(), msgspec.json.encode(text)}
            inside = [one for one in ranges if one.value == encode_value(value)]
            assert not matches or inside
            assert matches or not any(one.exact for one in inside)


async def test_in_a_cluster(cluster_url: str, namespace: str) -> None:
    async with open_store(cluster_url, namespace=namespace, partitions=8) as store:
        async with working(store, only(Indexed)):
            for n in range(20):
                await record(store, parcel(n), Sent("Riga", n))
            await wait_until_caught_up(store, indexed)
        rows, totals = await paged(store, {"city": "Riga"}, "-grams", 6)
        assert [row.grams for _, row in rows] == list(range(19, -1, -1))
        assert totals == {20}
        assert await raw(store, "parcels") != {}


class Untouched(Projection[Wide]):
    @on(Sent)
    def sent(self, event: Sent, record: Recorded, views: Views[Wide]) -> None:
        views.put(record.id, Wide(event.grams))


def test_a_projection_without_indexes_has_the_version_alone() -> None:
    assert only(Untouched).projection("untouched").revision == "1"
