"""The log as it is at the end, read without the checks that the store makes of its own reads."""

from collections.abc import Iterable
from typing import NamedTuple
from zlib import crc32

from whence.store.eventstore import EventStore
from whence.store.feed import parse_pointers
from whence.store.ids import StreamId
from whence.store.recorded import parse_entries


class Entry(NamedTuple):
    """One stored event; ``command`` names the command that decided it, ``data`` is its JSON."""

    stream: str
    version: int
    partition: int
    position: int
    command: str
    data: str

    def __str__(self) -> str:
        return (
            f"the log has {self.stream}@{self.version} of {self.command} at position "
            f"{self.position} of partition {self.partition}: {self.data}"
        )


class Place(NamedTuple):
    """One entry of a feed: what it says stands at ``position``."""

    position: int
    stream: str
    version: int

    def __str__(self) -> str:
        return f"the feed has {self.stream}@{self.version} at position {self.position}"


class Log(NamedTuple):
    """Streams by name and feeds by partition, each in the order in which the server has it."""

    streams: dict[str, list[Entry]]
    feeds: dict[int, list[Place]]


def digest(data: Iterable[str], start: int = 0) -> int:
    """What two equal rows of events have in common; goes on from the digest of those before."""
    for text in data:
        start = crc32(b"\n", crc32(text.encode(), start))
    return start


async def log_of(store: EventStore) -> Log:
    """All of a store that a test has made; takes memory for each event.

    A command's name is its correlation id: each event carries it, also where the caller has left
    the command id to the runtime.
    """
    streams = [_stream_of(key.decode()) for key in await _event_keys(store)]
    partitions = range(store.keys.partitions)
    return Log(
        {str(stream): await _entries(store, stream) for stream in streams},
        {partition: await _places(store, partition) for partition in partitions},
    )


async def _event_keys(store: EventStore) -> list[bytes]:
    """From the keys, not from the feeds: a stream that no feed names is a finding."""
    found: list[bytes] = await store.ask("KEYS", f"{{{store.keys.namespace}:*}}:e:*")
    return found


def _stream_of(key: str) -> StreamId:
    _, _, kind, id_ = key.split(":", 1)[1].split(":")
    return StreamId(kind, id_)


async def _entries(store: EventStore, stream: StreamId) -> list[Entry]:
    reply = await store.ask("XRANGE", store.keys.stream(stream), "-", "+")
    return [
        Entry(
            str(stream),
            record.version,
            record.partition,
            record.position,
            record.metadata.correlation_id,
            record.data.decode(),
        )
        for record in parse_entries(stream, store.keys.partition(stream), reply)
    ]


async def _places(store: EventStore, partition: int) -> list[Place]:
    reply = await store.ask("XRANGE", store.keys.feed(partition), "-", "+")
    return [Place(p.position, str(p.stream), p.version) for p in parse_pointers(reply)]
