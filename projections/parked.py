"""What people see of parked and skipped events."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple

from whence.projections.live import Named, Source, of_each, of_live
from whence.projections.notes import Note, Skip, parse_notes, parse_skips
from whence.store.eventstore import EventStore
from whence.store.ids import StreamId, number_of
from whence.store.wire import Command


class ParkedSequence(NamedTuple):
    """The events of one aggregate that are not in a view, from ``note.version`` on.

    ``waiting`` are so many of them; ``since`` is when the first of them was parked.
    """

    stream: StreamId
    partition: int
    note: Note
    since: datetime
    waiting: int


class SkippedEvent(NamedTuple):
    """An event that a view does without, because somebody decided so at ``moment``."""

    stream: StreamId
    version: int
    skip: Skip
    moment: datetime


async def parked_sequences(store: EventStore, projection: Named) -> list[ParkedSequence]:
    """What is parked, in all partitions, in the order in which it came to be so.

    Raises:
        StoreUnavailable, ServerRefused: the server cannot be read.
        CorruptStore: a note is none of ours.
    """
    return await of_live(store, projection, _sequences)


async def _sequences(source: Source) -> list[ParkedSequence]:
    keys, name = source.store.keys, source.projection.name
    numbers = range(keys.partitions)
    replies = await source.ask_many([("HGETALL", keys.parked(n, name)) for n in numbers])
    found = [
        (number, stream, since, note)
        for number, reply in zip(numbers, replies, strict=True)
        for stream, (since, note) in parse_notes(reply).items()
    ]
    heads = await source.store.ask_many(
        [("XREVRANGE", keys.stream(stream), "+", "-", "COUNT", 1) for _, stream, _, _ in found]
    )
    sequences = [
        ParkedSequence(stream, number, note, since, _head(reply) - note.version + 1)
        for (number, stream, since, note), reply in zip(found, heads, strict=True)
    ]
    return sorted(sequences, key=lambda sequence: (sequence.since, sequence.stream))


async def parked_counts(store: EventStore, projections: Iterable[Named]) -> dict[str, int]:
    """How many aggregates are parked, by name; one round trip, raises as above."""
    keys = store.keys

    def commands(generation: Named) -> list[Command]:
        return [("HLEN", keys.parked(n, generation.name)) for n in range(keys.partitions)]

    answers, _ = await of_each(store, projections, commands)
    return {projection.name: sum(replies) for projection, replies in answers.items()}


async def skipped_events(store: EventStore, projection: Named) -> list[SkippedEvent]:
    """What was skipped, in all partitions, first decision first; raises as above."""
    return await of_live(store, projection, _skips)


async def _skips(source: Source) -> list[SkippedEvent]:
    keys, name = source.store.keys, source.projection.name
    replies = await source.ask_many(
        [("HGETALL", keys.skipped(n, name)) for n in range(keys.partitions)]
    )
    found = [
        SkippedEvent(event.stream, event.version, skip, moment)
        for reply in replies
        for event, (moment, skip) in parse_skips(reply).items()
    ]
    return sorted(found, key=lambda event: (event.moment, event.stream, event.version))


def _head(entries: Any) -> int:
    """The version of the only entry of a reply, 0 without one; its bytes may be damaged."""
    return number_of(entries[0][0]) if entries else 0
