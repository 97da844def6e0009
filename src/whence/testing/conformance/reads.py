"""Short ways to read what a test has stored."""

from collections.abc import AsyncIterator
from typing import Any, TypeVar

from whence.store.events import Event
from whence.store.eventstore import EventStore
from whence.store.ids import StreamId
from whence.store.recorded import Recorded
from whence.testing.conformance.accounts import registry

T = TypeVar("T")


async def listed(found: AsyncIterator[T]) -> list[T]:
    return [one async for one in found]


async def events_of(store: EventStore, stream: StreamId, **options: Any) -> list[Event]:
    records = await listed(store.read(stream, **options))
    return [event for record in records for event in registry.decode_all(record)]


async def feed_of(store: EventStore, stream: StreamId) -> list[Recorded]:
    """All events of the partition in which this stream is."""
    partition = store.keys.partition(stream)
    return await store.fetch(await store.pointers(partition, after=0))
