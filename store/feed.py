"""The feed of a partition: pointers to events, in the order in which they were stored."""

from collections.abc import Callable, Iterable, Sequence
from itertools import repeat
from typing import NamedTuple, cast

from whence.store.columns import entry_numbers, numbers
from whence.store.errors import CorruptStore, FeedGap
from whence.store.ids import StreamId, number_of


class Pointer(NamedTuple):
    """One entry of a feed: the event at ``position`` is this version of this stream."""

    position: int
    stream: StreamId
    version: int


# With fewer entries, setting up the columns takes longer than reading them one by one.
_FEW = 16
# No stream is as long as this: a span up to here reads to the end.
END = 2**63 - 1


class Span(NamedTuple):
    """Versions ``first`` to ``last`` of a stream, both included."""

    stream: StreamId
    first: int
    last: int


_new_pointer = cast("Callable[[type[Pointer], Iterable[object]], Pointer]", tuple.__new__)  # pyright: ignore[reportUnknownMemberType]


def parse_pointers(entries: Sequence[object]) -> list[Pointer]:
    """The pointers of an XRANGE or XREADGROUP reply. Raises CorruptStore for foreign entries."""
    if len(entries) >= _FEW:
        try:
            return _by_columns(cast("Sequence[tuple[bytes, list[bytes]]]", entries))
        except (ValueError, TypeError):
            pass  # the loop names the entry that is not as it should be
    return [_parsed(entry) for entry in entries]


def _parsed(entry: object) -> Pointer:
    try:
        entry_id, (name, stream, version_name, version) = cast("tuple[bytes, list[bytes]]", entry)
        if name != b"s" or version_name != b"v":
            raise ValueError
        return Pointer(number_of(entry_id), StreamId.parse(stream.decode()), int(version))
    except (ValueError, TypeError):
        raise CorruptStore(f"a feed has an entry that Whence did not write: {entry!r}") from None


def _by_columns(entries: Sequence[tuple[bytes, list[bytes]]]) -> list[Pointer]:
    """Raises ValueError or TypeError unless all entries are as they should be."""
    positions = entry_numbers([entry_id for entry_id, _ in entries])
    s, names, v, versions = zip(*[fields for _, fields in entries], strict=True)
    if s.count(b"s") != len(entries) or v.count(b"v") != len(entries):
        raise ValueError("a field has another name")
    # A page names the same few streams again and again.
    streams = {name: StreamId.parse(name.decode()) for name in set(names)}
    columns = zip(positions, map(streams.__getitem__, names), numbers(versions), strict=True)
    # Pointer(...) is a function in Python that does this.
    return list(map(_new_pointer, repeat(Pointer), columns))


def check_contiguous(partition: int, after: int, pointers: Sequence[Pointer]) -> None:
    """Raises FeedGap unless the pointers are the positions that follow ``after``."""
    for expected, pointer in enumerate(pointers, after + 1):
        if pointer.position != expected:
            raise FeedGap(partition, expected, pointer.position)


def spans(pointers: Iterable[Pointer]) -> list[Span]:
    """The fewest version ranges that cover the pointers: a stream's events are read together.

    Between two pointers of one stream lies no other event of it, so one span per stream covers
    exactly the pointers when these are a contiguous piece of a feed.
    """
    ends: dict[StreamId, list[int]] = {}
    for _, stream, version in pointers:
        known = ends.get(stream)
        if known is None:
            ends[stream] = [version, version]
        elif version > known[1]:
            known[1] = version
        elif version < known[0]:
            known[0] = version
    return [Span(stream, first, last) for stream, (first, last) in ends.items()]
