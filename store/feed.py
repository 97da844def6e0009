"""The feed of a partition: pointers to events, in the order in which they were stored."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple, cast

from whence.store.errors import CorruptStore, FeedGap
from whence.store.ids import StreamId, number_of


class Pointer(NamedTuple):
    """One entry of a feed: the event at ``position`` is this version of this stream."""

    position: int
    stream: StreamId
    version: int


# No stream is as long as this: a span up to here reads to the end.
END = 2**63 - 1


class Span(NamedTuple):
    """Versions ``first`` to ``last`` of a stream, both included."""

    stream: StreamId
    first: int
    last: int


def parse_pointers(entries: Iterable[object]) -> list[Pointer]:
    """The pointers of an XRANGE or XREADGROUP reply. Raises CorruptStore for foreign entries."""
    pointers: list[Pointer] = []
    streams: dict[bytes, StreamId] = {}  # a page names the same few streams again and again
    for entry in cast("Iterable[tuple[bytes, list[bytes]]]", entries):
        # Written out, because a match statement took five times as long for each event.
        try:
            entry_id, (name, stream, version_name, version) = entry
            if name != b"s" or version_name != b"v":
                raise ValueError
            parsed = streams.get(stream)
            if parsed is None:
                parsed = streams[stream] = StreamId.parse(stream.decode())
            pointers.append(Pointer(number_of(entry_id), parsed, int(version)))
        except (ValueError, TypeError):
            raise CorruptStore(
                f"a feed has an entry that Whence did not write: {entry!r}"
            ) from None
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
