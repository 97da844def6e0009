"""A view that holds what was applied to it, in that order: one row per partition."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from tests.projections.domain import Delivered, Sent, Weighed, events
from whence.projections.projection import Projection, on
from whence.projections.readmodel import ReadModel
from whence.projections.views import Views
from whence.store.eventstore import EventStore
from whence.store.recorded import Recorded

_KEY = "applied"


class AppliedRow(msgspec.Struct, frozen=True):
    """Places in the log: "17 parcel/3@5"."""

    places: tuple[str, ...] = ()


class Applied(Projection[AppliedRow]):
    @on(Sent, Weighed, Delivered)
    def any(
        self, event: Sent | Weighed | Delivered, record: Recorded, views: Views[AppliedRow]
    ) -> None:
        place = f"{record.position} {record.stream}@{record.version}"
        views.update(_KEY, lambda row: AppliedRow((*row.places, place)), start=AppliedRow())


model = ReadModel([Applied], events)
applied = model.projection("applied")

Places = Mapping[int, Sequence[str]]


async def places_applied(store: EventStore) -> Places:
    """What each partition has applied so far."""
    numbers = range(store.keys.partitions)
    rows = await store.ask_many([("HGET", store.keys.view(n, applied.name), _KEY) for n in numbers])
    return {
        n: applied.rows.decode(_KEY, row).places if row else ()
        for n, row in zip(numbers, rows, strict=True)
    }


async def places_logged(store: EventStore) -> Places:
    """What the feed of each partition has: what a sequential reader would apply."""
    return {
        n: [f"{p.position} {p.stream}@{p.version}" for p in await store.pointers(n, after=0)]
        for n in range(store.keys.partitions)
    }


class Wrong(NamedTuple):
    """A partition that did not apply what its feed has, from ``at`` on."""

    partition: int
    at: int
    applied: Sequence[str]
    logged: Sequence[str]


def differences(found: Places, logged: Places) -> list[Wrong]:
    """The first place in each partition where it was not the next event that was applied.

    A partition that is not at the end of its feed is right as far as it goes.
    """
    wrong: list[Wrong] = []
    for partition, places in found.items():
        expected = logged[partition]
        for index, place in enumerate(places):
            if index >= len(expected) or place != expected[index]:
                around = slice(max(0, index - 2), index + 3)
                wrong.append(Wrong(partition, index, places[around], expected[around]))
                break
    return wrong
