"""How far the views and the reactions are, and whether the store can be reached at all."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import anyio
from prometheus_client.metrics_core import Metric

from whence.domain import Domain
from whence.projections.status import PartitionStatus, statuses
from whence.reactions.status import timer_counts
from whence.store.errors import WhenceError
from whence.store.eventstore import EventStore
from whence.web.metrics.families import Labels, counter, gauge

# Seconds that the store has for its answers.
WITHIN = 2.0

Statuses = Mapping[str, Sequence[PartitionStatus]]


class _Kind(NamedTuple):
    """What follows the log. ``name`` and ``verb`` are in the names of metrics and labels."""

    name: str
    verb: str
    one: str
    done: str


_VIEW = _Kind(
    "projection",
    "applied",
    "a view",
    "Events that a view has applied; begins anew with a rebuild.",
)
_REACTION = _Kind(
    "reaction",
    "handled",
    "a reaction",
    "Events that a reaction has handled, or has nothing to do about.",
)


class FollowerSource:
    """Lag, owners and parked aggregates of every view and reaction, as the store has them.

    Any process can tell them. When the store does not answer, only ``whence_store_up`` says so.
    """

    def __init__(self, store: EventStore, domain: Domain, *, within: float = WITHIN) -> None:
        self._store = store
        self._projections = domain.read_model.projections
        self._reactions = domain.reactions.reactions
        self._within = within

    async def families(self) -> Iterable[Metric]:
        try:
            with anyio.fail_after(self._within):
                found = await self._found()
        except (TimeoutError, WhenceError):
            found = None  # what could be said is that it is down
        up = gauge(
            "whence_store_up",
            "Whether the store answered (1) or not (0).",
            {(): found is not None},
        )
        return [up, *(found or ())]

    async def _found(self) -> list[Metric]:
        store, reactions = self._store, self._reactions
        standings, heads, timers = await asyncio.gather(
            statuses(store, [*self._projections.values(), *reactions.values()]),
            store.feed_heads(range(store.keys.partitions)),
            asyncio.gather(*(timer_counts(store, one) for one in reactions.values())),
        )
        return [
            counter("whence_log_events", "Events in the log.", {(): sum(heads)}),
            *_families(_VIEW, {name: standings[name] for name in self._projections}),
            *_families(_REACTION, {name: standings[name] for name in reactions}),
            gauge(
                "whence_reaction_timers",
                "Commands of a reaction that wait for their moment.",
                {(name,): sum(waiting) for name, waiting in zip(reactions, timers, strict=True)},
                (_REACTION.name,),
            ),
        ]


def _families(kind: _Kind, found: Statuses) -> list[Metric]:
    label, prefix = (kind.name,), f"whence_{kind.name}"

    def each(value: Callable[[Sequence[PartitionStatus]], float]) -> dict[Labels, float]:
        return {(name,): value(partitions) for name, partitions in found.items()}

    lags: dict[Labels, float] = {
        (name, str(one.partition)): one.lag for name, all_ in found.items() for one in all_
    }
    return [
        gauge(
            f"{prefix}_lag_events",
            f"Events that {kind.one} has not come to yet.",
            lags,
            (*label, "partition"),
        ),
        counter(
            f"{prefix}_{kind.verb}_events",
            kind.done,
            each(lambda all_: sum(one.position for one in all_)),
            label,
        ),
        gauge(
            f"{prefix}_parked_aggregates",
            f"Aggregates with events that {kind.one} goes on without.",
            each(lambda all_: sum(one.parked for one in all_)),
            label,
        ),
        gauge(
            f"{prefix}_workers",
            f"Workers that own partitions of {kind.one}.",
            each(lambda all_: len({one.owner for one in all_ if one.owner})),
            label,
        ),
        gauge(
            f"{prefix}_unowned_partitions",
            f"Partitions of {kind.one} without a worker.",
            each(lambda all_: sum(not one.owner for one in all_)),
            label,
        ),
        gauge(
            f"{prefix}_halted_partitions",
            f"Partitions of {kind.one} that stand still because of an error.",
            each(lambda all_: sum(bool(one.failure) for one in all_)),
            label,
        ),
    ]
