"""Bringing a generation of a view to the head of the log, with followers of this process."""

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager

import anyio

from whence.projections.follower import Follower
from whence.projections.generations import generations
from whence.projections.projection import Projector
from whence.projections.settings import WorkerSettings
from whence.projections.status import PartitionStatus, status
from whence.store.errors import NoGeneration, ViewHalted
from whence.store.eventstore import EventStore

# Called with the number of events done and the number of all.
Progress = Callable[[int, int], None]

# Followers of one projection, each with its part of the partitions: while one waits for the server,
# the other computes.
_BESIDE = 2
# Seconds between two looks at how far a view is.
_LOOK_EVERY = 0.05
# A view that is no more events behind than these has caught up, but for what a switch waits for.
NEAR = 1_000


async def follow(
    store: EventStore, projection: Projector, owner: str, settings: WorkerSettings
) -> None:
    """Follow the log for one generation of a view until cancelled; then give its leases back."""
    partitions = store.keys.partitions
    async with anyio.create_task_group() as tasks:
        seats = 0
        for first in range(min(_BESIDE, partitions)):
            part = range(first, partitions, _BESIDE)
            follower = Follower(store, projection, part, owner, settings, first_seat=seats)
            tasks.start_soon(follower.run, name=f"follow {projection.name}, {first}")
            seats += len(part)


@asynccontextmanager
async def followed(
    store: EventStore, projection: Projector, owner: str, settings: WorkerSettings
) -> AsyncGenerator[None]:
    """Follow the log beside the body of the block, whose errors come out as they are."""
    failure: Exception | None = None
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(follow, store, projection, owner, settings)
        try:
            yield
        except Exception as error:
            failure = error
        tasks.cancel_scope.cancel()
    if failure is not None:
        raise failure


async def catch_up(store: EventStore, projection: Projector, progress: Progress | None) -> None:
    """Return when a generation is nearly at the head of the log, whoever brings it there.

    Every partition has passed what was in the log at some moment of the call, so none of them is
    stuck.

    Raises:
        NoGeneration: it was dropped meanwhile.
        ViewHalted: a partition stands still.
        StoreUnavailable, ServerRefused: the server cannot be read.
    """
    while True:
        found = await look(store, projection)
        wanted = {one.partition: one.head for one in found}
        await reach(store, projection, wanted, progress)
        found = await look(store, projection)
        if sum(one.lag for one in found) <= NEAR:
            return


async def reach(
    store: EventStore,
    projection: Projector,
    wanted: Mapping[int, int],
    progress: Progress | None = None,
) -> None:
    """Return when a generation has come to these positions, by partition; raises as above.

    Or to the end of a log that is shorter by then: it was rolled back, and has no more to wait for.
    """
    while True:
        found = await look(store, projection)
        if progress is not None:
            progress(sum(one.position for one in found), sum(one.head for one in found))
        if all(one.position >= min(wanted.get(one.partition, 0), one.head) for one in found):
            return
        await anyio.sleep(_LOOK_EVERY)


async def look(store: EventStore, projection: Projector) -> list[PartitionStatus]:
    """The partitions of a generation that others may drop at any time; raises as above."""
    found = await status(store, projection)
    known = await generations(store, projection)
    if projection.number not in {known.live, known.building, known.previous}:
        raise NoGeneration(
            projection.base, f"has no generation {projection.number} any more: it was dropped"
        )
    for one in found:
        if one.failure:
            raise ViewHalted(projection.name, one.partition, one.position, one.failure)
    return found
