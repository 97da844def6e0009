"""How the rows that are asked for are found: in a piece of an index, behind one, or in the view."""

from collections.abc import AsyncGenerator, Mapping
from itertools import pairwise
from typing import Any, NamedTuple, TypeVar

import msgspec

from whence.projections.generations import generations
from whence.projections.indexed import Span, counted, first_members, rows_of, walked
from whence.projections.indexes import Range, prefix, split
from whence.projections.live import Source
from whence.projections.projection import Projection
from whence.projections.ranking import Ranking
from whence.store.errors import AmbiguousRow

R = TypeVar("R", bound=msgspec.Struct)

# How often a page is read again because one of its rows has moved in the index meanwhile.
_TRIES = 5


class Slice(NamedTuple):
    """A page is a piece of an index: of ``span``, which has ``total`` members."""

    span: Span
    ranking: Ranking
    total: int


async def chosen(
    source: Source, projection: Projection[R], where: Mapping[str, str], ranking: Ranking
) -> Slice | AsyncGenerator[tuple[str, R]] | None:
    """A slice; or rows among which are all that match; or None: the whole view has to be read."""
    indexes = projection.indexes
    ranges = {name: indexes.ranges(name, where[name]) for name in indexes.fields if name in where}
    if not ranges and (where or not ranking.field):
        return None
    single = _single(ranges, where, ranking)
    if single is not None:
        spans = [single]
    else:
        spans = [Span.of_range(one) for found in ranges.values() for one in found]
    sizes = await counted(source, spans)
    if not await _is_built(source, projection):
        return None
    if single is not None:
        return Slice(single, ranking, sum(sizes))
    by_span = dict(zip(spans, sizes, strict=True))
    options = [[Span.of_range(one) for one in found] for found in ranges.values()]
    return _walked(source, projection, min(options, key=lambda o: sum(by_span[s] for s in o)))


def _single(
    ranges: Mapping[str, list[Range]], where: Mapping[str, str], ranking: Ranking
) -> Span | None:
    """The piece of an index that has just these rows in this order, if there is one."""
    if not where:
        head = prefix(ranking.field)
        after = None if ranking.after is None else head + ranking.after
        return Span(head, after, ranking.backwards)
    found = [one for options in ranges.values() for one in options]
    if len(where) > 1 or ranking.field or len(found) != 1 or not found[0].exact:
        return None
    span = Span.of_range(found[0])
    return span if ranking.after is None else span._replace(after=span.head + ranking.after)


async def _is_built(source: Source, projection: Projection[Any]) -> bool:
    """Whether this generation has the indexes that the class declares now."""
    if source.generations is not None:
        return source.generations.live_revision == projection.revision
    known = await generations(source.store, projection)
    return known.revisions.get(projection.number or known.live) == projection.revision


async def _walked(
    source: Source, projection: Projection[R], spans: list[Span]
) -> AsyncGenerator[tuple[str, R]]:
    for span in spans:
        async for key, data in walked(source, span):
            yield key, projection.rows.decode(key, data)


async def sliced(
    source: Source, projection: Projection[R], found: Slice, count: int
) -> list[tuple[str, R]]:
    """The first rows of a slice, in their order.

    A row that has moved between the two looks, at the index and at the rows, is looked for again.
    """
    field = found.span.head.partition(b"\0")[0].decode()
    rows: list[tuple[str, R]] = []
    for _ in range(_TRIES):
        members = await first_members(source, found.span, count)
        places = [split(member.partition(b"\0")[2]) for member, _ in members]
        stored = await rows_of(source, members, [key for _, key in places])
        rows = []
        for (value, name), data in zip(places, stored, strict=True):
            key = name.decode()
            row = None if data is None else projection.rows.decode(key, data)
            if row is not None and projection.indexes.value_of(field, row) == value:
                rows.append((key, row))
        if len(rows) == len(members):
            break
    for (key, _), (following, _) in pairwise(rows):
        if key == following:
            raise AmbiguousRow(projection.name, key)
    return rows
