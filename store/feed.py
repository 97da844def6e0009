"""The feed of a partition: pointers to events, in the order in which they were stored."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from whence.store.errors import CorruptStore, FeedGap
from whence.store.ids import StreamId


class Pointer(NamedTuple):
    """One entry of a feed: the event at ``position`` is this version of this stream."""

    position: int
    stream: StreamId
    version: int


class Span(NamedTuple):
    """Versions ``first`` to ``last`` of a stream, both included."""

    stream: StreamId
    first: int
    last: int


def parse_pointers(entries: Iterable[object]) -> list[Pointer]:
    """The pointers of an XRANGE or XREADGROUP reply. Raises CorruptStore for foreign entries."""
    pointers: list[Pointer] = []
    for entry in entries:
        match entry:
            case [bytes(entry_id), [b"s", bytes(stream), b"v", bytes(version)]]:
                position = int(entry_id.partition(b"-")[0])
                pointers.append(Pointer(position, StreamId.parse(stream.decode()), int(version)))
            case _:
                raise CorruptStore(f"a feed has an entry that Whence did not write: {entry!r}")
    return pointers


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
    ends: dict[StreamId, tuple[int, int]] = {}
    for pointer in pointers:
        first, last = ends.get(pointer.stream, (pointer.version, pointer.version))
        ends[pointer.stream] = (min(first, pointer.version), max(last, pointer.version))
    return [Span(stream, first, last) for stream, (first, last) in ends.items()]
