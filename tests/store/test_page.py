"""Pages read column by column say what the loop over their entries says, whatever is in them."""

from collections.abc import Callable, Sequence
from typing import TypeVar, cast
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whence.store.columns import entry_numbers, numbers
from whence.store.errors import ChecksumMismatch, CorruptStore, FeedGap
from whence.store.feed import Piece, Pointer, check_contiguous, parse_piece, parse_pointers, spans
from whence.store.ids import StreamId
from whence.store.page import Part, parse_page, pointed_at, read_piece
from whence.store.recorded import Recorded, content_checksum, parse_entries, sealed

T = TypeVar("T")
Entry = tuple[bytes, list[bytes]]

MOMENT = 1_767_225_600_000_000
STREAM = StreamId("order", "42")
METADATA = [b"m", b'{"who":"ann"}']
LATER = [*METADATA, b"z", b"of a later release"]

ids = st.text("abc019._~-", min_size=1, max_size=6)
streams = st.builds(StreamId, st.sampled_from(["order", "account"]), ids)


def entry(stream: StreamId, version: int, position: int, tail: Sequence[bytes] = ()) -> Entry:
    """As append.lua writes it, with fields that follow the known ones."""
    data, command = b'{"amount":%d}' % version, f"c{position}"
    if tail == LATER:
        head = "\n".join((str(stream), "Deposited", "1", command, "")).encode()
        content = crc32(data, crc32(head + b"\n".join((*tail, b""))))
    else:
        metadata = tail[1] if tail else b""
        content = content_checksum(str(stream), "Deposited", 1, data, metadata, command)
    checksum = sealed(content, version, position, MOMENT + position)
    values = (b"Deposited", b"1", data, command.encode(), MOMENT + position, position, checksum)
    fields: list[bytes] = []
    for name, value in zip(b"tsdcopk", values, strict=True):
        fields += (bytes([name]), value if isinstance(value, bytes) else str(value).encode())
    return b"0-%d" % version, [*fields, *tail]


tails = st.sampled_from([[], METADATA, LATER])


@st.composite
def pages(draw: st.DrawFn) -> list[Part]:
    """Up to 200 entries of some streams, with and without metadata, most of them all alike."""
    alike = draw(st.booleans())
    found: list[Part] = []
    position = draw(st.integers(1, 10**6))
    for stream in draw(st.lists(streams, min_size=1, max_size=20, unique=True)):
        first = draw(st.integers(1, 1000))
        count = draw(st.integers(0, 10))
        entries: list[Entry] = []
        for version in range(first, first + count):
            entries.append(entry(stream, version, position, [] if alike else draw(tails)))
            position += 1
        found.append(Part(stream, draw(st.integers(0, 63)), entries))
    return found


def outcome(read: Callable[[], T]) -> T | tuple[type[Exception], str]:
    try:
        return read()
    except CorruptStore as error:
        return type(error), str(error)


def by_loop(parts: Sequence[Part]) -> list[Recorded]:
    return [record for part in parts for record in parse_entries(*part)]


@given(pages())
def test_a_page_is_read_as_the_loop_reads_it(parts: list[Part]) -> None:
    assert parse_page(parts) == by_loop(parts)


@given(st.data(), pages())
def test_damage_is_what_the_loop_says_it_is(data: st.DataObject, parts: list[Part]) -> None:
    entries = [cast("Entry", found) for part in parts for found in part.entries]
    if not entries:
        return
    fields = data.draw(st.sampled_from(entries))[1]
    place = data.draw(st.integers(0, len(fields) - 1))
    changed = bytearray(fields[place])
    for _ in range(data.draw(st.integers(1, 2))):
        if changed:
            changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    fields[place] = bytes(changed)

    assert outcome(lambda: parse_page(parts)) == outcome(lambda: by_loop(parts))


def many(count: int = 600) -> list[Entry]:
    return [entry(STREAM, number, number) for number in range(1, count + 1)]


def test_one_flipped_bit_among_many_is_noticed() -> None:
    entries = many()
    entries[451][1][5] = b'{"amount":0}'

    with pytest.raises(ChecksumMismatch, match="452"):
        parse_page([Part(STREAM, 0, entries)])


@pytest.mark.parametrize("tail", [[], METADATA, LATER])
def test_an_entry_of_another_stream_is_noticed(tail: list[bytes]) -> None:
    moved = [entry(StreamId("order", "43"), number, number, tail) for number in range(1, 50)]

    with pytest.raises(ChecksumMismatch):
        parse_page([Part(STREAM, 0, moved)])


@pytest.mark.parametrize(
    ("where", "instead"),
    [
        (slice(12, 14), []),
        (slice(14, 14), [b"z", b"new"]),
        (slice(0, 1), [b"x"]),
        (slice(0, 4), [b"s", b"1", b"t", b"Deposited"]),
        (slice(0, 14), []),
        (slice(7, 8), [b"c0,c1"]),
        (slice(9, 10), [b"1,2"]),
        (slice(9, 10), [b" "]),
        (slice(9, 10), [b"[" * 100_000]),
    ],
)
def test_foreign_fields_among_many_are_refused(where: slice, instead: list[bytes]) -> None:
    entries = many(40)
    entries[20][1][where] = instead
    parts = [Part(STREAM, 0, entries)]

    found = outcome(lambda: parse_page(parts))

    assert found == outcome(lambda: by_loop(parts))
    assert isinstance(found, tuple)


@pytest.mark.parametrize("entry_id", [b"1-0", b"1-1", b"10-1", b"0-1-1", b"0-", b"", b"0-1,0-2"])
def test_a_foreign_id_among_many_is_refused(entry_id: bytes) -> None:
    entries = many(40)
    entries[20] = (entry_id, entries[20][1])

    with pytest.raises((CorruptStore, ValueError)):
        parse_page([Part(STREAM, 0, entries)])
    with pytest.raises(ValueError):
        entry_numbers([found for found, _ in entries])


# Columns of numbers


@given(st.lists(st.integers(-(2**70), 2**70)))
def test_numbers_are_those_of_the_texts(values: list[int]) -> None:
    assert numbers([b"%d" % value for value in values]) == values


@given(st.lists(st.binary(max_size=4), min_size=1, max_size=5))
def test_what_is_not_a_number_each_is_refused(texts: list[bytes]) -> None:
    try:
        found = numbers(texts)
    except ValueError:
        return
    assert found == [int(text) for text in texts]


@given(st.lists(st.integers(0, 2**63), min_size=1))
def test_entry_numbers_are_those_of_the_ids(values: list[int]) -> None:
    assert entry_numbers([b"0-%d" % value for value in values]) == values


# Pointers


def pointer_entry(pointer: Pointer) -> Entry:
    position, stream, version = pointer
    return b"0-%d" % position, [b"s", str(stream).encode(), b"v", b"%d" % version]


@given(st.lists(st.builds(Pointer, st.integers(1, 2**53), streams, st.integers(1, 2**53))))
def test_pointers_are_read_back(pointers: list[Pointer]) -> None:
    assert parse_pointers([pointer_entry(pointer) for pointer in pointers]) == pointers


@pytest.mark.parametrize(
    "foreign",
    [
        (b"1-0", [b"s", b"order/1", b"v", b"1"]),
        (b"0-1", [b"s", b"order/1", b"v", b"one"]),
        (b"0-1", [b"s", b"order/1", b"w", b"1"]),
        (b"0-1", [b"t", b"order/1", b"v", b"1"]),
        (b"0-1", [b"s", b"order/\xff", b"v", b"1"]),
        (b"0-1", [b"s", b"order/1", b"v", b"1,1"]),
        (b"0-1", [b"s", b"order/1", b"v", b"1", b"w", b"2"]),
        (b"0-1", [b"s", b"order/1"]),
        (b"0-1", []),
    ],
)
@pytest.mark.parametrize("count", [1, 100])
def test_a_foreign_entry_of_a_feed_is_named(foreign: Entry, count: int) -> None:
    entries = [pointer_entry(Pointer(number, STREAM, number)) for number in range(1, count + 1)]
    entries[count // 2] = foreign

    with pytest.raises(CorruptStore) as caught:
        parse_pointers(entries)

    assert repr(foreign) in str(caught.value)


@given(st.lists(st.builds(Pointer, st.integers(1, 2**53), streams, st.integers(1, 2**53))))
def test_a_piece_is_read_as_its_pointers_are(pointers: list[Pointer]) -> None:
    entries = [pointer_entry(pointer) for pointer in pointers]

    assert list(parse_piece(entries)) == pointers


@given(st.integers(0, 10**6), st.lists(streams, min_size=1))
def test_pointers_without_a_gap_are_a_piece(after: int, owners: list[StreamId]) -> None:
    pointers = [
        Pointer(*p) for p in zip(range(after + 1, 10**7), owners, range(1, 10**7), strict=False)
    ]
    piece = parse_piece([pointer_entry(pointer) for pointer in pointers])

    assert isinstance(piece, Piece)
    assert list(piece) == pointers == parse_pointers([pointer_entry(p) for p in pointers])
    assert (len(piece), piece[-1], piece[:2]) == (len(pointers), pointers[-1], pointers[:2])
    check_contiguous(3, after, piece)
    with pytest.raises(FeedGap):
        check_contiguous(3, after + 1, piece)


@pytest.mark.parametrize("positions", [[1, 2, 4], [3, 2, 1], [1, 1, 2], [2, 1, 3]])
def test_positions_out_of_line_are_no_piece(positions: list[int]) -> None:
    pointers = [Pointer(position, STREAM, position) for position in positions]
    found = parse_piece([pointer_entry(pointer) for pointer in pointers])

    assert found == pointers
    with pytest.raises(FeedGap):
        check_contiguous(3, 0, found)


# The events behind pointers


@st.composite
def logs(draw: st.DrawFn) -> tuple[list[Pointer], dict[StreamId, list[Recorded]]]:
    """A partition's feed and its streams."""
    owners = draw(st.lists(streams, min_size=1, max_size=5, unique=True))
    pointers: list[Pointer] = []
    events: dict[StreamId, list[Recorded]] = {stream: [] for stream in owners}
    for position, stream in enumerate(draw(st.lists(st.sampled_from(owners), max_size=80)), 1):
        version = len(events[stream]) + 1
        events[stream] += parse_entries(stream, 0, [entry(stream, version, position)])
        pointers.append(Pointer(position, stream, version))
    return pointers, events


def fetched(pointers: Sequence[Pointer], events: dict[StreamId, list[Recorded]]) -> list[Recorded]:
    wanted = spans(pointers)
    records = [r for s in wanted for r in events[s.stream] if s.first <= r.version <= s.last]
    return pointed_at(pointers, wanted, records)


@given(logs(), st.data())
def test_events_come_in_the_order_of_their_pointers(
    log: tuple[list[Pointer], dict[StreamId, list[Recorded]]], data: st.DataObject
) -> None:
    """Of a piece of the feed, of one read backwards, and of any choice of its pointers."""
    pointers, events = log
    chosen = data.draw(
        st.sampled_from([pointers, pointers[5:20], pointers[::-1]])
        | (st.lists(st.sampled_from(pointers)) if pointers else st.just(pointers))
    )

    found = fetched(chosen, events)

    assert [Pointer(r.position, r.stream, r.version) for r in found] == chosen


@given(logs(), st.data())
def test_an_event_that_is_not_where_its_pointer_says_is_named(
    log: tuple[list[Pointer], dict[StreamId, list[Recorded]]], data: st.DataObject
) -> None:
    pointers, events = log
    if not pointers:
        return
    place = data.draw(st.integers(0, len(pointers) - 1))
    wrong = pointers[place]._replace(position=pointers[place].position + 1)
    pointers[place] = wrong

    with pytest.raises(CorruptStore, match=f"version {wrong.version} of {wrong.stream} at"):
        fetched(pointers, events)


@given(logs(), st.data())
def test_an_event_that_is_missing_is_named(
    log: tuple[list[Pointer], dict[StreamId, list[Recorded]]], data: st.DataObject
) -> None:
    pointers, events = log
    if not pointers:
        return
    lost = data.draw(st.sampled_from(pointers))
    events[lost.stream] = [r for r in events[lost.stream] if r.version != lost.version]

    with pytest.raises(CorruptStore, match=f"version {lost.version} of {lost.stream} at"):
        fetched(pointers, events)


Log = tuple[list[Pointer], dict[StreamId, list[Recorded]]]


def piece_of(log: Log, first: int, last: int, tail: Sequence[bytes] = ()) -> Piece:
    """Positions of the feed, with what a server would answer."""
    pointers, events = log
    piece = parse_piece([pointer_entry(pointer) for pointer in pointers[first - 1 : last]])
    assert isinstance(piece, Piece)
    piece.entries = [
        [
            entry(stream, r.version, r.position, tail)
            for r in events[stream]
            if low <= r.version <= high
        ]
        for stream, low, high in piece.spans
    ]
    return piece


@given(logs(), st.data(), tails)
def test_the_events_of_a_piece_are_those_of_its_pointers(
    log: Log, data: st.DataObject, tail: list[bytes]
) -> None:
    pointers, events = log
    if not pointers:
        return
    first = data.draw(st.integers(1, len(pointers)))
    last = data.draw(st.integers(first, len(pointers)))

    found = read_piece(0, piece_of(log, first, last, tail))

    assert [Pointer(r.position, r.stream, r.version) for r in found] == pointers[first - 1 : last]
    assert [r.data for r in found] == [r.data for r in fetched(pointers[first - 1 : last], events)]


@given(
    logs(),
    st.data(),
    st.sampled_from(["missing", "elsewhere", "twice", "later", "another stream", "changed"]),
)
def test_a_piece_that_disagrees_with_its_streams_is_noticed(
    log: Log, data: st.DataObject, wrong: str
) -> None:
    pointers, _ = log
    if not pointers:
        return
    piece = piece_of(log, 1, len(pointers))
    found = [*cast("Sequence[Sequence[Entry]]", piece.entries)]
    place = data.draw(st.integers(0, len(found) - 1))
    (stream, first, _), entries = piece.spans[place], found[place]
    versions = range(first, first + len(entries))
    positions = [p.position for p in pointers if p.stream == stream]
    others = StreamId("stranger", "1")
    found[place] = {
        "missing": entries[1:],
        "elsewhere": [entry(stream, version, 10**6 + version) for version in versions],
        "twice": [*entries, entries[0]],
        "later": [entry(stream, v + 1, p) for v, p in zip(versions, positions, strict=True)],
        "another stream": [entry(others, v, p) for v, p in zip(versions, positions, strict=True)],
        "changed": [(name, [*fields[:5], b"{}", *fields[6:]]) for name, fields in entries],
    }[wrong]
    piece.entries = found

    with pytest.raises(CorruptStore):
        read_piece(0, piece)
