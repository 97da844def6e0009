"""The feed of a partition: pointers to events, in the order in which they were stored."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, cast, overload

from whence.store.columns import entry_numbers, numbers
from whence.store.errors import CorruptStore, FeedGap
from whence.store.ids import StreamId, number_of
from whence.store.recorded import Recorded


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


class Piece(Sequence[Pointer]):
    """Pointers without a gap between them, in columns: they are made only for who asks for one.

    Attributes:
        positions: those of all pointers.
        names: the stream of each, as text.
        versions: the version of each.
        streams: by name, each once.
        spans: of each stream, in that order: all from its first version to its last are in it.
        entries: what the server has of each span, as it came; None until it was asked.
        records: the events, read from the entries; None until then.
    """

    __slots__ = ("entries", "names", "positions", "records", "spans", "streams", "versions")

    def __init__(self, first: int, names: Sequence[bytes], versions: Sequence[int]) -> None:
        self.positions = range(first, first + len(names))
        self.names = names
        self.versions = versions
        lasts = dict(zip(names, versions, strict=True))
        firsts = dict(zip(reversed(names), reversed(versions), strict=True))
        self.streams = {name: StreamId.parse(name.decode()) for name in lasts}
        ends = (self.streams.values(), map(firsts.__getitem__, lasts), lasts.values())
        self.spans = list(map(Span._make, zip(*ends, strict=True)))
        self.entries: Sequence[Sequence[object]] | None = None
        self.records: list[Recorded] | None = None

    @property
    def missing(self) -> bool:
        """Whether its events have not come yet."""
        return self.entries is None and self.records is None

    def __len__(self) -> int:
        return len(self.versions)

    @overload
    def __getitem__(self, index: int) -> Pointer: ...
    @overload
    def __getitem__(self, index: slice) -> list[Pointer]: ...
    def __getitem__(self, index: int | slice) -> Pointer | list[Pointer]:
        return list(self)[index]

    def __iter__(self) -> Iterator[Pointer]:
        named = map(self.streams.__getitem__, self.names)
        return map(Pointer, self.positions, named, self.versions)


def parse_piece(entries: Sequence[object]) -> Sequence[Pointer]:
    """As ``parse_pointers``: a Piece, unless there is a gap between the pointers."""
    try:
        return _by_columns(cast("Sequence[tuple[bytes, list[bytes]]]", entries))
    except (ValueError, TypeError):
        return _one_by_one(entries)  # which names the entry that is not as it should be


def parse_pointers(entries: Sequence[object]) -> list[Pointer]:
    """The pointers of an XRANGE or XREADGROUP reply. Raises CorruptStore for foreign entries."""
    return list(parse_piece(entries)) if len(entries) >= _FEW else _one_by_one(entries)


def _one_by_one(entries: Sequence[object]) -> list[Pointer]:
    return [_parsed(entry) for entry in entries]


def _parsed(entry: object) -> Pointer:
    try:
        entry_id, (name, stream, version_name, version) = cast("tuple[bytes, list[bytes]]", entry)
        if name != b"s" or version_name != b"v":
            raise ValueError
        return Pointer(number_of(entry_id), StreamId.parse(stream.decode()), int(version))
    except (ValueError, TypeError):
        raise CorruptStore(f"a feed has an entry that Whence did not write: {entry!r}") from None


def _by_columns(entries: Sequence[tuple[bytes, list[bytes]]]) -> Piece:
    """Raises ValueError or TypeError unless all entries are as they should be."""
    ids, fields = zip(*entries, strict=True)
    positions = entry_numbers(ids)
    if positions != list(range(positions[0], positions[0] + len(positions))):
        raise ValueError("a position is missing")
    s, names, v, versions = zip(*fields, strict=True)
    if s.count(b"s") != len(s) or v.count(b"v") != len(v):
        raise ValueError("a field has another name")
    b"\n".join(names).decode()  # raises ValueError, as the loop would
    return Piece(positions[0], names, numbers(versions))


def check_contiguous(partition: int, after: int, pointers: Sequence[Pointer]) -> None:
    """Raises FeedGap unless the pointers are the positions that follow ``after``."""
    if isinstance(pointers, Piece) and pointers.positions.start == after + 1:
        return
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
