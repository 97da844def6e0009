"""Reading a view by its indexes: a page in an order, or the rows with a value."""

from collections.abc import AsyncGenerator, Sequence
from typing import Any, NamedTuple

from whence.projections.indexes import Range, prefix
from whence.projections.live import Source
from whence.store.wire import Command

# Greater than anything that a key or a value begins with.
_LAST = b"\xff"
# Members per partition and round trip where all of a range are read.
_WALK = 500


class Span(NamedTuple):
    """A piece of an index: the members that begin with ``head``, after one of them.

    ``backwards``: the greatest first; then ``after`` is the smallest that was seen.
    """

    head: bytes
    after: bytes | None = None
    backwards: bool = False

    @classmethod
    def of_range(cls, found: Range, after: bytes | None = None) -> "Span":
        return cls(prefix(found.field) + found.value, after)

    def read(self, key: str, count: int, after: bytes | None) -> Command:
        """The command for the next members after one of them."""
        first, last = b"[" + self.head, b"(" + self.head + _LAST
        if self.backwards:
            last = last if after is None else b"(" + after
            return ("ZREVRANGEBYLEX", key, last, first, "LIMIT", 0, count)
        first = first if after is None else b"(" + after
        return ("ZRANGEBYLEX", key, first, last, "LIMIT", 0, count)

    def counting(self, key: str) -> Command:
        return ("ZLEXCOUNT", key, b"[" + self.head, b"(" + self.head + _LAST)


async def counted(source: Source, spans: Sequence[Span]) -> list[int]:
    """How many members each of these has, in all partitions. One round trip."""
    keys, name = source.store.keys, source.projection.name
    numbers = range(keys.partitions)
    replies = await source.ask_many(
        [span.counting(keys.index(n, name)) for span in spans for n in numbers]
    )
    size = len(numbers)
    return [sum(replies[i * size : (i + 1) * size]) for i in range(len(spans))]


async def first_members(source: Source, span: Span, count: int) -> list[tuple[bytes, int]]:
    """The first members of a span in all partitions, each with its partition, in their order."""
    keys, name = source.store.keys, source.projection.name
    # What each partition has to give, if they give alike; who has more is asked again.
    chunk = 2 * count // keys.partitions + 4
    found: list[tuple[bytes, int]] = []
    last: dict[int, bytes | None] = dict.fromkeys(range(keys.partitions), span.after)
    while last:
        replies = await source.ask_many(
            [span.read(keys.index(n, name), chunk, after) for n, after in last.items()]
        )
        again: dict[int, bytes | None] = {}
        for n, members in zip(list(last), replies, strict=True):
            found += [(member, n) for member in members]
            if len(members) == chunk:
                again[n] = members[-1]
        found.sort(reverse=span.backwards)
        del found[count:]
        kept = {member for member, _ in found}
        # All that is behind a member that was not kept is not kept either.
        last = {n: member for n, member in again.items() if member in kept}
    return found


async def rows_of(
    source: Source, members: Sequence[tuple[bytes, int]], keys_of: Sequence[bytes]
) -> list[bytes | None]:
    """The stored rows of these keys, each in the partition of its member. One round trip."""
    keys, name = source.store.keys, source.projection.name
    by_partition: dict[int, list[int]] = {}
    for place, (_, n) in enumerate(members):
        by_partition.setdefault(n, []).append(place)
    replies = await source.ask_many(
        [
            ("HMGET", keys.view(n, name), *(keys_of[place] for place in places))
            for n, places in by_partition.items()
        ]
    )
    found: list[bytes | None] = [None] * len(members)
    for places, reply in zip(by_partition.values(), replies, strict=True):
        for place, data in zip(places, reply, strict=True):
            found[place] = data
    return found


async def walked(source: Source, span: Span) -> AsyncGenerator[tuple[str, bytes]]:
    """Every row of a span once, with its key; all partitions are read side by side."""
    keys, name = source.store.keys, source.projection.name
    last: dict[int, bytes | None] = dict.fromkeys(range(keys.partitions), span.after)
    while last:
        replies: list[Any] = await source.ask_many(
            [span.read(keys.index(n, name), _WALK, after) for n, after in last.items()]
        )
        members = [(m, n) for n, reply in zip(last, replies, strict=True) for m in reply]
        names = [member[len(span.head) :] for member, _ in members]
        stored = await rows_of(source, members, names) if members else []
        for key, data in zip(names, stored, strict=True):
            if data is not None:  # deleted since its member was read
                yield key.decode(), data
        last = {
            n: reply[-1]
            for n, reply in zip(list(last), replies, strict=True)
            if len(reply) == _WALK
        }
