"""The events behind pointers: many partitions in one round trip, and damage kept to its event."""

import itertools
from collections.abc import Mapping, Sequence
from typing import NamedTuple, final

from whence.store.errors import ChecksumMismatch, CorruptStore
from whence.store.eventstore import EventStore
from whence.store.feed import Piece, Pointer, Span
from whence.store.ids import StreamId
from whence.store.recorded import Recorded

# In an anchor, in the place of a checksum.
DAMAGED = "damaged"


@final
class Damaged(NamedTuple):
    """An event whose bytes are not those that were written.

    It is where the log says, so all others can be applied. ``position`` is 0 where only its stream
    was read.
    """

    stream: StreamId
    version: int
    partition: int
    position: int
    error: ChecksumMismatch

    @property
    def type(self) -> str:
        return ""

    @property
    def anchor(self) -> str:
        """Of its place alone: the checksum is not to be trusted, and may be mended one day."""
        return f"{self.stream}@{self.version}#{DAMAGED}"


Fetched = Recorded | Damaged


async def fetch_all(
    store: EventStore, pointers: Mapping[int, Sequence[Pointer]]
) -> dict[int, list[Fetched] | CorruptStore]:
    """The events of each partition, or what is wrong with one of them.

    Raises:
        StoreUnavailable, ServerRefused: the server cannot be read.
    """
    try:
        return await _fetch_whole(store, pointers)
    except CorruptStore:  # which of them it is, is found out here
        return {number: await _fetch(store, found) for number, found in pointers.items()}


async def _fetch_whole(
    store: EventStore, pointers: Mapping[int, Sequence[Pointer]]
) -> dict[int, list[Fetched] | CorruptStore]:
    pieces = {number: found for number, found in pointers.items() if isinstance(found, Piece)}
    fetched: dict[int, list[Fetched] | CorruptStore] = {}
    for number, events in (await store.fetch_pieces(pieces)).items():
        fetched[number] = [*events]
    others = {number: found for number, found in pointers.items() if number not in pieces}
    records = iter(await store.fetch(list(itertools.chain.from_iterable(others.values()))))
    for number, found in others.items():
        fetched[number] = list(itertools.islice(records, len(found)))
    return {number: fetched[number] for number in pointers}


async def read_sequence(
    store: EventStore, stream: StreamId, first: int, count: int
) -> list[Fetched]:
    """At most ``count`` events of a stream from version ``first`` on; a damaged one is the last.

    Raises:
        CorruptStore: a version is missing.
        StoreUnavailable, ServerRefused: the server cannot be read.
    """
    try:
        (records,) = await store.read_many([Span(stream, first, first + count - 1)], limit=count)
    except ChecksumMismatch as error:
        if count == 1:
            return [Damaged(stream, first, store.keys.partition(stream), 0, error)]
    else:
        return list(records)
    half = count // 2
    left = await read_sequence(store, stream, first, half)
    if left and isinstance(left[-1], Damaged):
        return left
    return left + await read_sequence(store, stream, first + half, count - half)


async def _fetch(store: EventStore, pointers: Sequence[Pointer]) -> list[Fetched] | CorruptStore:
    """Stream by stream, so that damage in one of them leaves the others readable."""
    by_stream: dict[StreamId, list[Pointer]] = {}
    for pointer in pointers:
        by_stream.setdefault(pointer.stream, []).append(pointer)
    found: dict[int, Fetched] = {}
    try:
        for part in by_stream.values():
            found |= await _fetch_stream(store, part)
    except CorruptStore as error:
        return error
    return [found[pointer.position] for pointer in pointers]


async def _fetch_stream(store: EventStore, pointers: Sequence[Pointer]) -> dict[int, Fetched]:
    """The events of one stream by position; those that cannot be read are Damaged."""
    try:
        return {record.position: record for record in await store.fetch(pointers)}
    except ChecksumMismatch as error:
        if len(pointers) == 1:
            (pointer,) = pointers
            partition = store.keys.partition(pointer.stream)
            damaged = Damaged(pointer.stream, pointer.version, partition, pointer.position, error)
            return {pointer.position: damaged}
    middle = len(pointers) // 2
    left = await _fetch_stream(store, pointers[:middle])
    return left | await _fetch_stream(store, pointers[middle:])
