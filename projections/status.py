"""How far a view is: for people, metrics, and whoever waits to read what was just written."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import anyio

from whence.projections.checkpoint import STANDING_FIELDS, parse_standing
from whence.projections.live import Named, Source, of_each, of_live
from whence.projections.projection import Projector
from whence.store.errors import ViewBehind
from whence.store.eventstore import EventStore
from whence.store.feed import parse_pointers
from whence.store.wire import Command

# Seconds between two looks at the checkpoints.
_LOOK_EVERY = 0.02


class PartitionStatus(NamedTuple):
    """One partition of a view.

    It has come to ``position`` of ``head`` events, ``lag`` are to go. ``owner`` is the worker that
    has it, or empty. ``failure`` says why it stands still, or is empty. ``parked`` aggregates have
    events that it has passed and that are not in the view.
    """

    partition: int
    position: int
    head: int
    lag: int
    epoch: int
    owner: str
    failure: str
    parked: int


async def status(store: EventStore, projection: Named) -> list[PartitionStatus]:
    """All partitions of a view, or of a reaction, in one round trip.

    Of a view it is the live generation, unless a certain one is given.

    Raises:
        StoreUnavailable, ServerRefused: the server cannot be read.
        CorruptStore: the last entry of a feed is none of ours.
    """
    return (await statuses(store, [projection]))[projection.name]


async def statuses(
    store: EventStore, projections: Iterable[Named]
) -> dict[str, list[PartitionStatus]]:
    """All partitions of the views of these projections, in one round trip; raises as above."""
    keys = store.keys
    numbers = range(keys.partitions)

    def commands(generation: Named) -> list[Command]:
        name = generation.name
        return [
            command
            for n in numbers
            for command in (
                ("HMGET", keys.checkpoint(n, name), *STANDING_FIELDS),
                ("GET", keys.lease(n, name)),
                ("HLEN", keys.parked(n, name)),
            )
        ]

    # The checkpoints first: what is appended meanwhile makes the lag no smaller than 0.
    ends: list[Command] = [("XREVRANGE", keys.feed(n), "+", "-", "COUNT", 1) for n in numbers]
    answers, last = await of_each(store, projections, commands, then=ends)
    heads = [_head(reply) for reply in last]
    return {
        projection.name: [_partition(n, heads[n], *replies[3 * n : 3 * n + 3]) for n in numbers]
        for projection, replies in answers.items()
    }


def owner_counts(found: Iterable[PartitionStatus]) -> dict[str, int]:
    """How many of the partitions each worker has; those without one are not counted."""
    owners = Counter(partition.owner for partition in found if partition.owner)
    return dict(sorted(owners.items()))


def _head(reply: Sequence[Any]) -> int:
    last = parse_pointers(reply)
    return last[0].position if last else 0


def _partition(
    number: int, head: int, standing: Sequence[bytes | None], owner: bytes | None, parked: int
) -> PartitionStatus:
    at = parse_standing(standing)
    lag = max(0, head - at.position)
    worker = (owner or b"").decode()
    return PartitionStatus(number, at.position, head, lag, at.epoch, worker, at.failure, parked)


async def wait_until_seen(
    store: EventStore,
    projection: Projector,
    positions: Mapping[int, int],
    *,
    timeout_s: float = 10.0,
) -> None:
    """Return when the view has come to these positions, by partition.

    Events that are parked count as passed: who needs to know uses ``Freshness``.

    Raises:
        ViewBehind: it has not after ``timeout_s`` seconds; the sentence says how far it is.
        StoreUnavailable, ServerRefused
    """
    wanted = {n: position for n, position in positions.items() if position > 0}
    reached: dict[int, int] = {}
    n = next(iter(wanted), 0)
    with anyio.move_on_after(timeout_s):
        while True:
            reached = await _positions(store, projection, wanted)
            behind = [n for n, position in wanted.items() if reached[n] < position]
            if not behind:
                return
            # Of all that are behind one is enough: to ask for each would hold up those who work.
            n = behind[0]
            while reached[n] < wanted[n]:
                await anyio.sleep(_LOOK_EVERY)
                reached |= await _positions(store, projection, {n: wanted[n]})
    raise ViewBehind(projection.name, n, wanted.get(n, 0), reached.get(n, 0), timeout_s)


async def wait_until_caught_up(
    store: EventStore, projection: Projector, *, timeout_s: float = 10.0
) -> None:
    """Return when the view has come to the end of the log as it is now; raises as above."""
    numbers = range(store.keys.partitions)
    heads = await store.feed_heads(numbers)
    await wait_until_seen(
        store, projection, dict(zip(numbers, heads, strict=True)), timeout_s=timeout_s
    )


async def _positions(
    store: EventStore, projection: Projector, wanted: Mapping[int, int]
) -> dict[int, int]:
    async def read(source: Source) -> dict[int, int]:
        keys, name = source.store.keys, source.projection.name
        replies = await source.ask_many(
            [("HGET", keys.checkpoint(n, name), "position") for n in wanted]
        )
        return {n: int(reply or 0) for n, reply in zip(wanted, replies, strict=True)}

    return await of_live(store, projection, read)
