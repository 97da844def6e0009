"""What bytes from anywhere must not do to the codec and the envelope: T16.

Each function takes any bytes, and raises nothing if Whence keeps its word: it reads them, or says
in one of its own errors why not; and what it has read it can write and read again.
"""

import re
from collections.abc import Callable
from contextlib import suppress

from tests.evolved import model
from whence.store.errors import (
    ChecksumMismatch,
    CorruptStore,
    InvalidId,
    UnknownEventType,
    UpcastFailed,
)
from whence.store.ids import StreamId, check_id
from whence.store.metadata import decode_metadata, encode_metadata
from whence.store.recorded import (
    ENTRY_FIELDS,
    Recorded,
    content_checksum,
    parse_entries,
    sealed,
)

STREAM = StreamId("ticket", "1")
# Each stored form of the tickets: those of today, and those that upcasters, a splitter and a
# retirement make something else of.
FORMS = [
    *(("Bought", 3), ("Bought", 2), ("Ordered", 1), ("Paid", 1), ("Seated", 1), ("Noted", 1)),
    *(("PaidAndSeated", 1), ("Printed", 1), ("Refunded", 1), ("Paid", 9)),
]


def entry(data: bytes) -> None:
    """The values of a stream entry, parted by zeros, with whatever checksum it says."""
    values = (data.split(b"\0") + [b""] * len(ENTRY_FIELDS))[: len(ENTRY_FIELDS)]
    fields = [part for pair in zip(ENTRY_FIELDS, values, strict=True) for part in pair]
    with suppress(ChecksumMismatch, CorruptStore):
        for record in parse_entries(STREAM, 0, [(b"0-1", fields)]):
            _read(record)


def sealed_entry(data: bytes) -> None:
    """The event, metadata and a later release's field of an entry that is what was written."""
    form, _, rest = data.partition(b"\0")
    event, _, more = rest.partition(b"\0")
    name, version = FORMS[len(form) % len(FORMS)]
    content = content_checksum(str(STREAM), name, version, event, more, "c")
    values = [name.encode(), b"%d" % version, event, b"c", b"5", b"7", b""]
    values[-1] = b"%d" % sealed(content, 1, 7, 5)
    fields = [part for pair in zip(ENTRY_FIELDS, values, strict=True) for part in pair]
    (record,) = parse_entries(STREAM, 0, [(b"0-1", [*fields, *([b"m", more] if more else [])])])
    assert (record.type, record.data, record.metadata_json) == (name, event, more)
    _read(record)
    metadata(more)


def metadata(data: bytes) -> None:
    """What is known about an event."""
    with suppress(CorruptStore):
        known = decode_metadata(data)
        assert decode_metadata(encode_metadata(known)) == known


def identifier(data: bytes) -> None:
    """An id as it comes out of a URL."""
    text = data.decode(errors="replace")
    with suppress(InvalidId):
        assert re.fullmatch(r"[A-Za-z0-9._~-]{1,128}", check_id(text))
        assert StreamId.parse(str(StreamId.checked("ticket", text))) == ("ticket", text)


def _read(record: Recorded) -> None:
    with suppress(UnknownEventType, UpcastFailed, CorruptStore):
        for event in model.events.decode_all(record):
            assert model.events.encode(event).event == event


READERS: tuple[Callable[[bytes], None], ...] = (entry, sealed_entry, metadata, identifier)
# What a fuzzer begins with: an input for each reader, the first byte of which says for which one.
CORPUS = (
    b'\0Paid\x001\0{"paid_by":"ann"}\0c\x005\x007\x00-1',
    b'\1fff\0{"paid_by":"ann"}\0{"who":"ann"}',
    b'\1ff\0{"euros":3}\0',
    b'\1ffffff\0{"who":"ann","seat":"4B"}\0',
    b'\2{"who":"ann","notes":{"a":"b"}}',
    b"\x03order-42",
    b"\3{a}:\xff%ff",
)


def anything(data: bytes) -> None:
    """One of the readers, chosen by the first byte."""
    if data:
        READERS[data[0] % len(READERS)](data[1:])
