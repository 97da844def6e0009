"""Reading a view: one row, or a page in the order of keys or values, over all partitions."""

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec

from whence.projections.choice import Slice, chosen, sliced
from whence.projections.live import Source, of_live
from whence.projections.projection import Projection
from whence.projections.ranking import Ranking, ranking_of
from whence.store.errors import AmbiguousRow, InvalidSetting
from whence.store.eventstore import EventStore

R = TypeVar("R", bound=msgspec.Struct)

MAX_LIMIT = 1_000
# Rows per partition and round trip.
_SCAN = 500


class Page(NamedTuple, Generic[R]):
    """Rows by key, in the order of their keys.

    ``total`` counts all rows that match, on this page or not. ``next`` is what to give as ``after``
    for the next page, None on the last one.
    """

    rows: list[tuple[str, R]]
    total: int
    next: str | None


async def get(store: EventStore, projection: Projection[R], key: str) -> R | None:
    """The row at a key, None if there is none. One round trip.

    Raises:
        AmbiguousRow: several partitions have one, and the projection has no merge.
        RowMismatch: it was stored by a class with other fields.
        StoreUnavailable, ServerRefused: the server cannot be read.
    """
    field = key.encode(errors="surrogatepass")  # what came out of a URL may be no text at all

    async def read(source: Source) -> R | None:
        keys, name = source.store.keys, source.projection.name
        replies = await source.ask_many(
            [("HGET", keys.view(n, name), field) for n in range(keys.partitions)]
        )
        parts = [projection.rows.decode(key, data) for data in replies if data is not None]
        return _merged(projection, key, parts) if parts else None

    return await of_live(store, projection, read)


async def find(
    store: EventStore,
    projection: Projection[R],
    *,
    where: Mapping[str, str] | None = None,
    order: str | None = None,
    limit: int = 100,
    after: str | None = None,
) -> Page[R]:
    """The rows whose fields have these values, in the order of their keys, or of an indexed field.

    Where an index has what is asked for, no more is read than that. Otherwise it reads the whole
    view, partition beside partition, and keeps no more than a few pages of it; of a projection with
    merge, which has to be put together first, it keeps all rows.

    Args:
        where: field name -> value as JSON text, quotes left out: ``{"status": "cancelled",
            "total": "5", "paid": "true"}``. All must match.
        order: an indexed field, as ``placed_at``, or ``-placed_at`` for the greatest first; rows of
            one value are in the order of their keys, or backwards as well.
        limit: rows on the page, 1 to 1000.
        after: what the page before said as ``next``; in the order of the keys that is any key.

    Raises:
        UnknownField: the rows have no field of that name.
        InvalidInput: there is no index to order by, or ``after`` is from no page in that order.
        InvalidSetting: the limit is not possible.
        AmbiguousRow, RowMismatch, StoreUnavailable, ServerRefused: as in ``get``.
    """
    if not 1 <= limit <= MAX_LIMIT:
        raise InvalidSetting(f"a page has 1 to {MAX_LIMIT} rows, not {limit}", field="limit")
    where = where or {}
    matches = _condition(projection, where)
    ranking = ranking_of(projection, order, after)

    async def read(source: Source) -> Page[R]:
        rows = await chosen(source, projection, where, ranking)
        if isinstance(rows, Slice):
            return await _page(source, projection, rows, limit)
        page: _Smallest[R] = _Smallest(projection.name, limit, ranking)
        if rows is None:
            merges = projection.merges
            rows = _merged_rows(source, projection) if merges else _rows(source, projection)
        async with aclosing(rows):
            async for key, row in rows:
                if matches(row):
                    page.add(key, row)
        return page.finish()

    return await of_live(store, projection, read)


async def _page(source: Source, projection: Projection[R], found: Slice, limit: int) -> Page[R]:
    """A page that is a piece of an index."""
    rows = await sliced(source, projection, found, limit + 1)
    more = len(rows) > limit
    del rows[limit:]
    following = found.ranking.next(*rows[-1]) if more else None
    return Page(rows, found.total, following)


def _merged(projection: Projection[R], key: str, parts: list[R]) -> R:
    if len(parts) > 1 and not projection.merges:
        raise AmbiguousRow(projection.name, key)
    row = parts[0]
    for part in parts[1:]:
        row = projection.merge(row, part)
    return row


def _condition(
    projection: Projection[Any], where: Mapping[str, str]
) -> Callable[[msgspec.Struct], bool]:
    encode = msgspec.json.encode
    wanted: list[tuple[str, set[bytes]]] = []
    for field, text in where.items():
        plain = text.encode(errors="backslashreplace")
        # A value is given without its quotes, so 5 is the number and the string.
        wanted.append((projection.rows.attribute(field), {plain, encode(plain.decode())}))
    return lambda row: all(encode(getattr(row, name)) in texts for name, texts in wanted)


async def _rows(source: Source, projection: Projection[R]) -> AsyncGenerator[tuple[str, R], None]:
    async for _, key, data in _scan(source):
        yield key, projection.rows.decode(key, data)


async def _merged_rows(
    source: Source, projection: Projection[R]
) -> AsyncGenerator[tuple[str, R], None]:
    parts: dict[str, dict[int, R]] = {}
    async for partition, key, data in _scan(source):
        parts.setdefault(key, {})[partition] = projection.rows.decode(key, data)
    for key, by_partition in parts.items():
        yield key, _merged(projection, key, [by_partition[n] for n in sorted(by_partition)])


async def _scan(source: Source) -> AsyncGenerator[tuple[int, str, bytes], None]:
    """Every row once, with its partition; all partitions are read side by side."""
    keys, name = source.store.keys, source.projection.name
    cursors = dict.fromkeys(range(keys.partitions), b"0")
    seen: dict[int, set[bytes]] = {n: set() for n in cursors}  # HSCAN may repeat a key
    while cursors:
        replies = await source.ask_many(
            [("HSCAN", keys.view(n, name), cursor, "COUNT", _SCAN) for n, cursor in cursors.items()]
        )
        for n, (cursor, flat) in zip(list(cursors), replies, strict=True):
            known = seen[n]
            for key, data in zip(flat[::2], flat[1::2], strict=True):
                if key not in known:
                    known.add(key)
                    yield n, key.decode(), data
            if cursor == b"0":
                del cursors[n], seen[n]
            else:
                cursors[n] = cursor


class _Smallest(Generic[R]):
    """The first rows of a ranking after a given place, and how many rows there were in all."""

    def __init__(self, projection: str, limit: int, ranking: Ranking) -> None:
        self._projection = projection
        self._limit = limit
        self._ranking = ranking
        self._rows: list[tuple[bytes, str, R]] = []
        self._total = 0

    def add(self, key: str, row: R) -> None:
        self._total += 1
        rank = self._ranking.rank(key, row)
        if self._ranking.is_after(rank):
            self._rows.append((rank, key, row))
            if len(self._rows) > 4 * self._limit + 1_000:
                self._cut()

    def finish(self) -> Page[R]:
        self._cut()
        rows = [(key, row) for _, key, row in self._rows[: self._limit]]
        more = len(self._rows) > self._limit
        return Page(rows, self._total, self._ranking.next(*rows[-1]) if more else None)

    def _cut(self) -> None:
        """Keep the page and one row more, which tells that there is a next page."""
        self._rows.sort(key=lambda item: item[0], reverse=self._ranking.backwards)
        for (_, key, _), (_, following, _) in zip(self._rows, self._rows[1:], strict=False):
            if key == following:
                raise AmbiguousRow(self._projection, key)
        del self._rows[self._limit + 1 :]
