"""Reading views: pages, conditions, rows in several partitions."""

from typing import Any

import pytest

from tests.projections.domain import (
    CityRow,
    ParcelRow,
    cities,
    parcels,
)
from whence.projections.projection import Projection
from whence.projections.query import find, get
from whence.store.errors import AmbiguousRow, InvalidSetting, RowMismatch
from whence.store.eventstore import EventStore
from whence.store.wire import Command, Reply

ROWS = {f"k{n:04}": ParcelRow("Riga" if n % 2 else "Oslo", n) for n in range(2_500)}


async def fill(
    store: EventStore, projection: Projection[Any], rows: dict[str, Any], partition: int = -1
) -> None:
    """Put rows where a worker would; without a partition they are spread over all."""
    await store.ask_many(
        [
            (
                "HSET",
                store.keys.view(partition if partition >= 0 else n % 8, projection.name),
                key,
                projection.rows.encode(key, row),
            )
            for n, (key, row) in enumerate(rows.items())
        ]
    )


async def test_pages_follow_on_from_each_other_in_the_order_of_the_keys(store: EventStore) -> None:
    await fill(store, parcels, ROWS)
    found: list[tuple[str, Any]] = []
    after: str | None = None
    pages = 0
    while pages == 0 or after is not None:
        page = await find(store, parcels, limit=700, after=after)
        assert page.total == 2_500
        found += page.rows
        after = page.next
        pages += 1
    assert found == sorted(ROWS.items())
    assert pages == 4


async def test_the_last_page_that_is_just_full_has_no_next(store: EventStore) -> None:
    await fill(store, parcels, {key: ROWS[key] for key in ["k0001", "k0002", "k0003"]})
    page = await find(store, parcels, limit=2, after="k0001")
    assert [key for key, _ in page.rows] == ["k0002", "k0003"]
    assert (page.total, page.next) == (3, None)
    page = await find(store, parcels, limit=2)
    assert page.next == "k0002"


async def test_the_total_counts_what_matches(store: EventStore) -> None:
    await fill(store, parcels, ROWS)
    page = await find(store, parcels, where={"city": "Oslo"}, limit=3)
    assert [key for key, _ in page.rows] == ["k0000", "k0002", "k0004"]
    assert page.total == 1_250


async def test_a_view_that_nobody_has_begun_is_empty(store: EventStore) -> None:
    assert await find(store, parcels) == ([], 0, None)
    assert await get(store, parcels, "\ud800") is None


async def test_a_row_that_the_server_names_twice_is_counted_once(
    store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(store, parcels, {"a": ParcelRow("Riga", 1)})
    await fill(store, cities, {"Riga": CityRow(1, 1)})
    ask_many = store.ask_many

    async def doubled(commands: list[Command]) -> list[Reply]:
        *scans, generations = await ask_many(commands)
        return [*([cursor, flat + flat] for cursor, flat in scans), generations]

    monkeypatch.setattr(store, "ask_many", doubled)
    assert (await find(store, parcels)).total == 1
    assert (await find(store, cities)).rows == [("Riga", CityRow(1, 1))]


async def test_without_merge_one_key_in_two_partitions_is_an_error(store: EventStore) -> None:
    for partition in (0, 1):
        await fill(store, parcels, {"twice": ParcelRow("Riga", 1)}, partition)
    sentence = r"parcels has rows of the key 'twice' in several partitions: give it a merge"
    with pytest.raises(AmbiguousRow, match=sentence):
        await get(store, parcels, "twice")
    with pytest.raises(AmbiguousRow, match=sentence):
        await find(store, parcels)


async def test_conditions_and_pages_see_merged_rows(store: EventStore) -> None:
    for partition in range(3):
        await fill(
            store, cities, {"Riga": CityRow(1, 10), f"only-{partition}": CityRow(1, 1)}, partition
        )
    page = await find(store, cities, where={"grams": "30"})
    assert page.rows == [("Riga", CityRow(3, 30))]
    assert (await find(store, cities, limit=2)).next == "only-0"


@pytest.mark.parametrize("limit", [0, 1_001])
async def test_a_page_has_a_limit(store: EventStore, limit: int) -> None:
    with pytest.raises(InvalidSetting, match="a page has 1 to 1000 rows"):
        await find(store, parcels, limit=limit)


async def test_a_row_that_was_stored_by_another_class_is_an_error(store: EventStore) -> None:
    await store.ask("HSET", store.keys.view(0, "parcels"), "a", b'{"town":"Riga"}')
    with pytest.raises(RowMismatch, match="whence projections rebuild parcels"):
        await find(store, parcels)
