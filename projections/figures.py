"""What a monitor wants to know of the views: exact, and cheap enough to be asked every second."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from whence.projections.status import owner_counts, statuses
from whence.store.eventstore import EventStore


class ViewFigures(NamedTuple):
    """A view in numbers.

    ``lag`` are the events to go, ``parked`` the aggregates with events that the view goes on
    without, both by partition. ``owners`` are the workers and how many partitions each has;
    ``unowned`` have none. ``halted`` partitions stand still because of an error.
    """

    projection: str
    lag: Mapping[int, int]
    parked: Mapping[int, int]
    owners: Mapping[str, int]
    unowned: int
    halted: int


async def figures(store: EventStore, projections: Iterable[str]) -> list[ViewFigures]:
    """The figures of the views of these projections, named, in one round trip.

    Positions are contiguous, so a lag is a subtraction: it is 0 exactly where nothing is to go.

    Raises:
        StoreUnavailable, ServerRefused: the server cannot be read.
        CorruptStore: the last entry of a feed is none of ours.
    """
    found: list[ViewFigures] = []
    for name, partitions in (await statuses(store, projections)).items():
        owners = owner_counts(partitions)
        found.append(
            ViewFigures(
                name,
                {each.partition: each.lag for each in partitions},
                {each.partition: each.parked for each in partitions},
                owners,
                len(partitions) - sum(owners.values()),
                sum(bool(each.failure) for each in partitions),
            )
        )
    return found
