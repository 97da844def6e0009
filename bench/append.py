"""Appends from many callers through group commit, without actors, against the bare loop."""

import asyncio
import time
from collections.abc import Iterator
from typing import Literal

import uvloop

from bench.commands import AGGREGATES, APPENDS_PER_CALL, BareLoop, deposit
from bench.figure import Figure, compared, figure, server
from whence import open_store
from whence.actors.groupcommit import GroupCommit
from whence.actors.metrics import COUNTS, Histogram
from whence.store.append import Committed
from whence.store.eventstore import EventStore
from whence.store.ids import CommandIds, StreamId

CALLERS = (64, 512)
# Appends per round.
APPENDS = 20_000


def figures() -> Iterator[Figure]:
    for fsync in ("always", "everysec"):
        with server(fsync) as running:
            for callers in CALLERS:
                yield uvloop.run(_measure(running.url, fsync, callers))


async def _measure(url: str, fsync: Literal["always", "everysec"], callers: int) -> Figure:
    namespace = f"append-{callers}"
    async with open_store(url, namespace=namespace, durability="relaxed") as store:
        grouped, bare = Grouped(store), BareLoop(store)
        # Every stream exists, as in a system that has run for a minute.
        await grouped.run(64, AGGREGATES)
        await bare.run(AGGREGATES)
        pair = await compared(lambda: grouped.run(callers, APPENDS), lambda: bare.run(APPENDS))
    against = f"the append script in a loop, {APPENDS_PER_CALL} appends per call"
    return figure(f"append, {callers} callers, {fsync}", pair, "appends/s", against)


class Grouped:
    """Callers that each wait for their append before they make the next one."""

    def __init__(self, store: EventStore) -> None:
        self._commit = GroupCommit(store, Histogram(COUNTS))
        self._ids = CommandIds()
        self._streams = [StreamId("grouped", str(number)) for number in range(AGGREGATES)]
        self._versions = [0] * AGGREGATES
        self._moments = [0] * AGGREGATES

    async def run(self, callers: int, count: int) -> float:
        """Append ``count`` events; returns appends per second."""
        numbers = iter(range(count))
        start = time.perf_counter()
        await asyncio.gather(*[self._call(numbers) for _ in range(callers)])
        return count / (time.perf_counter() - start)

    async def _call(self, numbers: Iterator[int]) -> None:
        # The streams are taken in turns, so no two callers wait for the same one.
        for turn in numbers:
            number = turn % AGGREGATES
            version, moment = self._versions[number], self._moments[number]
            append = deposit(self._streams[number], version, self._ids, moment)
            (outcome,) = await self._commit.append([append])
            assert isinstance(outcome, Committed), outcome
            self._versions[number] += 1
            self._moments[number] = outcome.occurred_at_us
