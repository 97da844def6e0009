"""An event as it stands in the log, and the checksum that shows whether it still does."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import cast
from zlib import crc32

import msgspec

from whence.store.errors import ChecksumMismatch, CorruptStore
from whence.store.ids import IMPORTED, StreamId
from whence.store.metadata import Metadata, decode_metadata

# The fields of every stream entry, in the order in which append.lua writes them. After them come
# metadata, if there is any, and what later releases may add: covered by the checksum, passed over.
ENTRY_FIELDS = [b"t", b"s", b"d", b"c", b"o", b"p", b"k"]
END_OF_FIELDS = 2 * len(ENTRY_FIELDS)
METADATA = b"m"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Recorded(msgspec.Struct, frozen=True, gc=False):
    """One stored event: where it stands, when it happened, and its bytes.

    ``version`` counts within the stream from 1, ``position`` within the partition's feed from 1.
    ``data`` is the event as JSON; ``occurred_at_us`` is in microseconds since 1970 (UTC).
    """

    stream: StreamId
    version: int
    partition: int
    position: int
    type: str
    schema_version: int
    data: bytes
    metadata_json: bytes
    command_id: str
    occurred_at_us: int
    checksum: int

    @property
    def id(self) -> str:
        """The id of the aggregate, without its type."""
        return self.stream.id

    @property
    def occurred_at(self) -> datetime:
        return moment(self.occurred_at_us)

    @property
    def metadata(self) -> Metadata:
        return decode_metadata(self.metadata_json)

    @property
    def imported(self) -> bool:
        """Whether it was imported as a fact from elsewhere, and no command decided it here."""
        return self.command_id.startswith(IMPORTED)

    @property
    def anchor(self) -> str:
        """What a checkpoint keeps of the event it stands on."""
        return f"{self.stream}@{self.version}#{self.checksum}"


def moment(microseconds: int) -> datetime:
    """Microseconds since 1970 as an aware datetime in UTC."""
    return _EPOCH + timedelta(microseconds=microseconds)


def microseconds(moment: datetime) -> int:
    """An aware datetime as microseconds since 1970; exact, unlike ``timestamp()``."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


def content_checksum(
    stream: str,
    type_name: str,
    schema_version: int,
    data: bytes,
    metadata: bytes,
    command: str,
) -> int:
    """CRC-32 of all that the writer knows of an event before the server stamps it."""
    head = f"{stream}\n{type_name}\n{schema_version}\n{command}\n".encode()
    if metadata:
        head += b"m\n%b\n" % metadata
    return crc32(data, crc32(head))


def sealed(content: int, version: int, position: int, occurred_at_us: int) -> int:
    """The stored checksum: append.lua adds what the server decides by the same sum.

    A signed number of 32 bits, which a server keeps in half the bytes of an unsigned one.
    """
    return (content + version + position + occurred_at_us + 2**31) % 2**32 - 2**31


def parse_entries(stream: StreamId, partition: int, entries: Iterable[object]) -> list[Recorded]:
    """The entries of an XRANGE reply, all of one stream.

    Raises:
        CorruptStore: an entry was not written by append.lua.
        ChecksumMismatch: its bytes are not those that were written.
    """
    # Written out in one loop, because every load of an aggregate spends its time here: the checksum
    # is taken of the stored bytes as they are, which says the same as ``content_checksum``.
    name = f"{stream.type}/{stream.id}".encode()
    records: list[Recorded] = []
    for entry_id, fields in cast("Iterable[tuple[bytes, list[bytes]]]", entries):
        if fields[0:END_OF_FIELDS:2] != ENTRY_FIELDS or entry_id[:2] != b"0-":
            raise CorruptStore(f"{stream} has an entry that Whence did not write: {entry_id!r}")
        type_name, schema, data, command, occurred, position, checksum = fields[1:END_OF_FIELDS:2]
        version = int(entry_id[2:])
        head = b"\n".join((name, type_name, schema, command, b""))
        metadata = b""
        if len(fields) > END_OF_FIELDS:
            head += b"\n".join((*fields[END_OF_FIELDS:], b""))
            metadata = _metadata(fields)
        content = crc32(data, crc32(head))
        try:
            record = Recorded(
                stream,
                version,
                partition,
                int(position),
                type_name.decode(),
                int(schema),
                data,
                metadata,
                command.decode(),
                int(occurred),
                int(checksum),
            )
        except ValueError as error:  # a flipped bit in a number or in UTF-8
            raise ChecksumMismatch(stream, version) from error
        if sealed(content, version, record.position, record.occurred_at_us) != record.checksum:
            raise ChecksumMismatch(stream, version)
        records.append(record)
    return records


def _metadata(fields: list[bytes]) -> bytes:
    names = fields[END_OF_FIELDS::2]
    return fields[END_OF_FIELDS + 2 * names.index(METADATA) + 1] if METADATA in names else b""
