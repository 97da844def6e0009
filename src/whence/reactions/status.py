"""The timers that wait, for people."""

from datetime import datetime
from typing import NamedTuple

from whence.reactions.reaction import Reaction
from whence.reactions.timer import Timer, TimerId, decode_timer
from whence.store.eventstore import EventStore
from whence.store.recorded import moment


class PendingTimer(NamedTuple):
    """A command that waits for its moment."""

    id: TimerId
    due: datetime
    timer: Timer


async def timer_counts(store: EventStore, reaction: Reaction) -> list[int]:
    """How many timers wait, by partition; one round trip.

    Raises:
        StoreUnavailable, ServerRefused: the server cannot be read.
    """
    numbers = range(store.keys.partitions)
    return await store.ask_many(
        [("ZCARD", store.keys.due(number, reaction.name)) for number in numbers]
    )


async def pending_timers(store: EventStore, reaction: Reaction) -> list[PendingTimer]:
    """The timers of all partitions, the earliest first.

    Raises:
        StoreUnavailable, ServerRefused: the server cannot be read.
        CorruptStore: a timer is none of ours.
    """
    numbers = range(store.keys.partitions)
    replies = await store.ask_many(
        [("HGETALL", store.keys.timers(number, reaction.name)) for number in numbers]
    )
    found: list[PendingTimer] = []
    for flat in replies:
        for name, data in zip(flat[::2], flat[1::2], strict=True):
            id_ = TimerId.parse(name)
            timer = decode_timer(id_, data)
            found.append(PendingTimer(id_, moment(timer.due_ms * 1000), timer))
    return sorted(found, key=lambda pending: (pending.due, pending.id))
