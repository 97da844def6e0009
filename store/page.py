"""The events of many streams in one reply: read column by column, with all checks of each entry."""

import operator
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, repeat
from typing import NamedTuple, TypeVar, cast
from zlib import crc32

from whence.store.columns import entry_numbers, numbers
from whence.store.errors import CorruptStore
from whence.store.feed import Piece, Pointer, Span
from whence.store.ids import StreamId
from whence.store.recorded import END_OF_FIELDS, ENTRY_FIELDS, METADATA, Recorded, parse_entries

# With fewer entries, setting up the columns takes longer than reading them one by one.
_FEW = 32
# With more, an entry is no longer in the processor's cache when its next column is read.
_PIECE = 500

# The names of an entry's fields, by the number of names and values; with others, the loop reads it.
_NAMES = {
    END_OF_FIELDS: (*ENTRY_FIELDS,),
    END_OF_FIELDS + 2: (*ENTRY_FIELDS, METADATA),
}

T = TypeVar("T")

_position = operator.attrgetter("position")


class Part(NamedTuple):
    """The entries that an XRANGE of one stream has brought."""

    stream: StreamId
    partition: int
    entries: Sequence[object]


def parse_page(parts: Iterable[Part]) -> list[Recorded]:
    """The events of all parts in their order: what ``parse_entries`` makes of one after the other.

    Raises:
        CorruptStore, ChecksumMismatch: of the first entry that has something wrong.
    """
    records: list[Recorded] = []
    piece: list[Part] = []
    size = 0
    for part in parts:
        piece.append(part)
        size += len(part.entries)
        if size >= _PIECE:
            records += _parse(piece, size)
            piece, size = [], 0
    return records + _parse(piece, size)


def _parse(parts: Sequence[Part], size: int) -> list[Recorded]:
    if size >= _FEW:
        try:
            return _read(_columns(parts))
        except (ValueError, TypeError):
            pass  # the loop tells which entry it is, and what is wrong with it, if anything is
    return [record for part in parts for record in parse_entries(*part)]


def read_piece(partition: int, piece: Piece) -> list[Recorded]:
    """The events that a piece of a feed points to, in its order; their entries have come.

    They are kept in it instead of the entries.

    Raises:
        CorruptStore, ChecksumMismatch: an entry has something wrong, or is not where its pointer
            says.
    """
    if piece.records is None:
        assert piece.entries is not None, "they were asked for"
        piece.records = _read_piece(partition, piece, piece.entries)
        piece.entries = None
    return piece.records


def _read_piece(partition: int, piece: Piece, found: Sequence[Sequence[object]]) -> list[Recorded]:
    if len(piece) >= _FEW:
        try:
            records = _read(_in_order(partition, piece, found))
        except (ValueError, TypeError):
            pass  # as above
        else:
            if [record.position for record in records] == list(piece.positions):
                return records
    parts = [
        Part(span.stream, partition, entries)
        for span, entries in zip(piece.spans, found, strict=True)
    ]
    records = sorted((r for part in parts for r in parse_entries(*part)), key=_position)
    if [Pointer(r.position, r.stream, r.version) for r in records] != list(piece):
        raise CorruptStore(f"the feed of partition {partition} disagrees with its streams")
    return records


def pointed_at(
    pointers: Sequence[Pointer], spans: Sequence[Span], records: Sequence[Recorded]
) -> list[Recorded]:
    """The events that pointers point to, in their order.

    Args:
        records: the events of the spans, one span after the other.

    Raises:
        CorruptStore: an event is not where its pointer says.
    """
    zero: dict[StreamId, int] = {}  # where the event before the first one of a stream would be
    end = 0
    for stream, first, last in spans:
        zero[stream] = end - first
        end += last - first + 1
    if end == len(records):
        found: list[Recorded] = []
        for position, stream, version in pointers:
            record = records[zero[stream] + version]
            if (
                record.position == position
                and record.version == version
                and record.stream == stream
            ):
                found.append(record)
        if len(found) == len(pointers):
            return found
    known = {(record.stream, record.version): record for record in records}
    return [_pointed_at(known, pointer) for pointer in pointers]


def _pointed_at(known: Mapping[tuple[StreamId, int], Recorded], pointer: Pointer) -> Recorded:
    record = known.get((pointer.stream, pointer.version))
    if record is None or record.position != pointer.position:
        raise CorruptStore(
            f"the feed names version {pointer.version} of {pointer.stream} at position "
            f"{pointer.position}, and no such event is there: events were lost on the server"
        )
    return record


class _Columns(NamedTuple):
    """One value per entry in each of them; ``names`` are the streams as the checksums have them."""

    streams: Sequence[StreamId]
    names: Sequence[bytes]
    partitions: Sequence[int]
    versions: Sequence[int]
    fields: Sequence[Sequence[bytes]]

    def at(self, places: Sequence[int]) -> "_Columns":
        return _Columns(
            [self.streams[place] for place in places],
            [self.names[place] for place in places],
            [self.partitions[place] for place in places],
            [self.versions[place] for place in places],
            [self.fields[place] for place in places],
        )


def _read(columns: _Columns) -> list[Recorded]:
    """Raises ValueError unless every entry is as it was written, as far as this can tell."""
    widths = set(map(len, columns.fields))
    if len(widths) == 1:
        return _read_alike(columns)
    # Some have metadata, and others have none.
    found: dict[int, Recorded] = {}
    for width in widths:
        places = [place for place, fields in enumerate(columns.fields) if len(fields) == width]
        found.update(zip(places, _read_alike(columns.at(places)), strict=True))
    return [found[place] for place in range(len(columns.fields))]


def _read_alike(columns: _Columns) -> list[Recorded]:
    """``_read`` of entries that have equally many fields."""
    width, count = len(columns.fields[0]), len(columns.fields)
    flat = list(chain.from_iterable(columns.fields))  # zip(*...) takes twice as long
    names = _NAMES.get(width, ())
    if not names or any(flat[2 * n :: width].count(name) != count for n, name in enumerate(names)):
        raise ValueError("a field has another name")
    tail = [flat[place::width] for place in range(END_OF_FIELDS, width)]
    types, schemas, data, commands, moments, places, sums = [
        flat[place::width] for place in range(1, END_OF_FIELDS, 2)
    ]
    positions, occurred_at, checksums = numbers(places), numbers(moments), numbers(sums)
    written = zip(columns.names, types, schemas, commands, *tail, data, strict=True)
    contents = map(crc32, map(b"\n".join, written))
    stamps = zip(contents, columns.versions, positions, occurred_at, checksums, strict=True)
    # As ``sealed`` has it: content + version + position + moment, in 32 bits.
    off = [(c + v + p + o - checksum) & 0xFFFFFFFF for c, v, p, o, checksum in stamps]
    if any(off):
        raise ValueError("a checksum is another one")
    text = {name: name.decode() for name in set(types)}
    return list(
        map(
            Recorded,
            columns.streams,
            columns.versions,
            columns.partitions,
            positions,
            map(text.__getitem__, types),
            numbers(schemas),
            data,
            tail[1] if tail else repeat(b""),
            map(bytes.decode, commands),
            occurred_at,
            checksums,
        )
    )


def _columns(parts: Sequence[Part]) -> _Columns:
    lengths = [len(part.entries) for part in parts]
    entries = cast(
        "list[tuple[bytes, list[bytes]]]",
        list(chain.from_iterable([part.entries for part in parts])),
    )
    ids, fields = zip(*entries, strict=True)
    return _Columns(
        _spread([part.stream for part in parts], lengths),
        _spread([f"{s.type}/{s.id}".encode() for s, _, _ in parts], lengths),
        _spread([part.partition for part in parts], lengths),
        entry_numbers(ids),
        fields,
    )


def _in_order(partition: int, piece: Piece, found: Sequence[Sequence[object]]) -> _Columns:
    """Raises ValueError unless there is one entry for each pointer, of its version."""
    rests = {name: iter(entries) for name, entries in zip(piece.streams, found, strict=True)}
    entries = cast(
        "list[tuple[bytes, list[bytes]]]", list(map(next, map(rests.__getitem__, piece.names)))
    )
    # Where a stream has none left, the list ends early.
    if not len(entries) == len(piece) == sum(map(len, found)):
        raise ValueError("there are fewer or more of them")
    ids, fields = zip(*entries, strict=True)
    versions = entry_numbers(ids)
    if versions != piece.versions:
        raise ValueError("a version is missing")
    streams = list(map(piece.streams.__getitem__, piece.names))
    return _Columns(streams, piece.names, [partition] * len(piece), versions, fields)


def _spread(values: Iterable[T], lengths: Iterable[int]) -> list[T]:
    """Each value as often as its part has entries."""
    return list(chain.from_iterable(map(repeat, values, lengths)))
