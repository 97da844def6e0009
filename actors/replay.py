"""The states of all aggregates of a kind, as of one moment."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import TypeVar, cast

from whence.actors.load import load_many
from whence.actors.model import AnyAggregate, WriteModel
from whence.actors.receipt import Versioned
from whence.store.errors import StreamVanished
from whence.store.eventstore import EventStore
from whence.store.feed import Span
from whence.store.ids import StreamId
from whence.store.reading import streams_of

A = TypeVar("A", bound=AnyAggregate)

# Aggregates that are folded at a time.
BATCH = 100


async def replay(
    store: EventStore, model: WriteModel, aggregate: type[A], *, at: datetime | None = None
) -> AsyncIterator[Versioned[A]]:
    """The state of every aggregate of a class, one after the other, in bounded memory.

    Each is what ``state_at`` says of it. Those without an event at that moment are left out. They
    come partition by partition, in the order in which they began; one that begins while this is
    read may come or not.

    Args:
        at: the moment (aware); without it, the newest states.

    Raises:
        UnknownAggregate: the model has no such aggregate.
        StoreUnavailable, ServerRefused: the server cannot be read.
        CorruptStore: an event is missing or cannot be read; what comes after it is not told.
    """
    kind = model.of_class(aggregate)
    async for streams in _batches(streams_of(store, kind.name)):
        found = await load_many(store, model.events, kind, streams, until=at)
        await _check_present(store, [one.stream for one in found if not one.version])
        for stream, state, version, occurred_at_us, *_ in found:
            if version:
                yield Versioned(stream, cast("A", state), version, occurred_at_us)


async def _batches(streams: AsyncIterator[StreamId]) -> AsyncIterator[list[StreamId]]:
    batch: list[StreamId] = []
    async for stream in streams:
        batch.append(stream)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


async def _check_present(store: EventStore, streams: Sequence[StreamId]) -> None:
    """What had no event at the moment must have one now: the feed has named it."""
    firsts = await store.read_many([Span(stream, 1, 1) for stream in streams])
    for stream, first in zip(streams, firsts, strict=True):
        if not first:
            raise StreamVanished(stream, 1, 0)
