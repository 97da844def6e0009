"""An entry as append.lua writes it: understandable, guarded bit by bit, and open for new fields."""

from zlib import crc32

import pytest
from msgspec.structs import replace

from tests.store.domain import NOON, Deposited, account, append_of, registry
from whence.store.append import NewEvent
from whence.store.errors import ChecksumMismatch, CorruptStore
from whence.store.eventstore import EventStore
from whence.store.recorded import microseconds, parse_entries

MOMENT = microseconds(NOON)
METADATA = b'{"who":"ann"}'

Fields = list[bytes]


async def entry_of(store: EventStore, metadata: bytes) -> tuple[bytes, Fields]:
    event = NewEvent(registry.encode(Deposited(5)), metadata, MOMENT)
    append = replace(append_of(account(), 0, Deposited(1), command="c1"), events=[event])
    await store.append(append)
    (entry,) = await store.ask("XRANGE", store.keys.stream(account()), "-", "+")
    return entry[0], entry[1]


async def test_an_entry_is_what_a_person_can_read(store: EventStore) -> None:
    """Golden: a change here means that no released version can read the new store."""
    entry_id, fields = await entry_of(store, METADATA)

    assert entry_id == b"0-1"
    values = dict(zip(fields[::2], fields[1::2], strict=True))
    assert list(values) == [b"t", b"s", b"d", b"c", b"o", b"p", b"k", b"m"]
    head = b"account/42\nDeposited\n1\nc1\nm\n" + METADATA + b"\n"
    total = crc32(values[b"d"], crc32(head)) + 1 + 1 + MOMENT
    assert values == {
        b"t": b"Deposited",
        b"s": b"1",
        b"d": b'{"amount":5,"note":null}',
        b"c": b"c1",
        b"o": b"%d" % MOMENT,
        b"p": b"1",
        b"k": b"%d" % ((total + 2**31) % 2**32 - 2**31),
        b"m": METADATA,
    }


async def test_a_feed_is_what_a_person_can_read(store: EventStore) -> None:
    """Golden, as above."""
    await entry_of(store, b"")
    feed = store.keys.feed(store.keys.partition(account()))

    assert await store.ask("XRANGE", feed, "-", "+") == [
        [b"0-1", [b"s", b"account/42", b"v", b"1"]]
    ]


async def test_empty_metadata_takes_no_place(store: EventStore) -> None:
    _, fields = await entry_of(store, b"")

    assert b"m" not in fields[::2]
    (record,) = parse_entries(account(), 0, [(b"0-1", fields)])
    assert record.metadata_json == b""


@pytest.mark.parametrize("metadata", [b"", METADATA])
async def test_every_flipped_bit_is_noticed(store: EventStore, metadata: bytes) -> None:
    entry_id, fields = await entry_of(store, metadata)
    assert parse_entries(account(), 0, [(entry_id, fields)])[0].metadata_json == metadata

    for place, value in enumerate(fields):
        for bit in range(8 * len(value)):
            changed = bytearray(value)
            changed[bit // 8] ^= 1 << bit % 8
            damaged = [*fields[:place], bytes(changed), *fields[place + 1 :]]
            with pytest.raises((ChecksumMismatch, CorruptStore)):
                parse_entries(account(), 0, [(entry_id, damaged)])


async def test_a_field_of_a_later_release_is_guarded_and_passed_over(store: EventStore) -> None:
    entry_id, fields = await entry_of(store, METADATA)
    (known,) = parse_entries(account(), 0, [(entry_id, fields)])
    # What a later append.lua would write: the checksum goes over all that follows the known fields.
    head = b"account/42\nDeposited\n1\nc1\nm\n" + METADATA + b"\nz\nnew\n"
    total = crc32(known.data, crc32(head)) + 1 + 1 + MOMENT
    fields[13] = b"%d" % ((total + 2**31) % 2**32 - 2**31)

    (record,) = parse_entries(account(), 0, [(entry_id, [*fields, b"z", b"new"])])

    assert (record.data, record.metadata_json) == (known.data, METADATA)
    with pytest.raises(ChecksumMismatch):
        parse_entries(account(), 0, [(entry_id, [*fields, b"z", b"old"])])


@pytest.mark.parametrize("entry_id", [b"1-0", b"1-1", b"12-1"])
async def test_an_entry_at_a_foreign_id_is_refused(store: EventStore, entry_id: bytes) -> None:
    _, fields = await entry_of(store, b"")

    with pytest.raises(CorruptStore, match="did not write"):
        parse_entries(account(), 0, [(entry_id, fields)])
