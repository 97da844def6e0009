"""How far the views are, and whether the store can be reached at all."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence

import anyio
from prometheus_client.metrics_core import Metric

from whence.projections.readmodel import ReadModel
from whence.projections.status import PartitionStatus, statuses
from whence.store.errors import WhenceError
from whence.store.eventstore import EventStore
from whence.web.metrics.families import Labels, counter, gauge

# Seconds that the store has for its answers.
WITHIN = 2.0

_LABELS = ("projection",)

Statuses = Mapping[str, Sequence[PartitionStatus]]


class ProjectionSource:
    """Lag, owners and parked aggregates of every view, as any process can read them in the store.

    When the store does not answer, only ``whence_store_up`` says so.
    """

    def __init__(self, store: EventStore, model: ReadModel, *, within: float = WITHIN) -> None:
        self._store = store
        self._projections = list(model.projections.values())
        self._within = within

    async def families(self) -> Iterable[Metric]:
        found: Statuses = {}
        events = 0
        up = False
        try:
            with anyio.fail_after(self._within):
                found, heads = await asyncio.gather(
                    statuses(self._store, self._projections),
                    self._store.feed_heads(range(self._store.keys.partitions)),
                )
                events, up = sum(heads), True
        except (TimeoutError, WhenceError):
            pass  # what could be said is that it is down
        return [
            gauge("whence_store_up", "Whether the store answered (1) or not (0).", {(): up}),
            *(_families(events, found) if up else ()),
        ]


def _families(events: int, found: Statuses) -> list[Metric]:
    """``events`` are those of the whole log."""
    lags: dict[Labels, float] = {
        (name, str(one.partition)): one.lag for name, all_ in found.items() for one in all_
    }
    parked: dict[Labels, float] = {}
    applied: dict[Labels, float] = {}
    owners: dict[Labels, float] = {}
    unowned: dict[Labels, float] = {}
    halted: dict[Labels, float] = {}
    for name, partitions in found.items():
        parked[name,] = sum(one.parked for one in partitions)
        applied[name,] = sum(one.position for one in partitions)
        owners[name,] = len({one.owner for one in partitions if one.owner})
        unowned[name,] = sum(not one.owner for one in partitions)
        halted[name,] = sum(bool(one.failure) for one in partitions)
    return [
        counter("whence_log_events", "Events in the log.", {(): events}),
        gauge(
            "whence_projection_lag_events",
            "Events that a view has not applied yet.",
            lags,
            (*_LABELS, "partition"),
        ),
        counter(
            "whence_projection_applied_events",
            "Events that a view has applied; begins anew with a rebuild.",
            applied,
            _LABELS,
        ),
        gauge(
            "whence_projection_parked_aggregates",
            "Aggregates with events that a view goes on without.",
            parked,
            _LABELS,
        ),
        gauge(
            "whence_projection_workers", "Workers that own partitions of a view.", owners, _LABELS
        ),
        gauge(
            "whence_projection_unowned_partitions",
            "Partitions of a view without a worker.",
            unowned,
            _LABELS,
        ),
        gauge(
            "whence_projection_halted_partitions",
            "Partitions of a view that stand still because of an error.",
            halted,
            _LABELS,
        ),
    ]
