"""A million aggregates against ten thousand: rates and memory stay what they are."""

import random
import time
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import asynccontextmanager

import anyio
import uvloop

from bench.commands import deposit
from bench.domain import domain
from bench.figure import Figure, Pair, compared, figure, server
from bench.memory import used_memory
from whence import open_store
from whence.actors.load import load_many
from whence.store.append import Committed
from whence.store.eventstore import EventStore
from whence.store.ids import CommandIds, StreamId

FEW, MANY = 10_000, 1_000_000
PER_CALL = 100
# Aggregates per round: many short rounds, for a neighbour slows both sides of most of them alike.
PER_ROUND = 5_000
ROUNDS = 21
# Seconds for a rewrite of the log that the filling has begun.
PATIENCE = 120


def figures() -> Iterator[Figure]:
    yield from uvloop.run(_measure())


async def _measure() -> list[Figure]:
    async with _filled(FEW) as few, _filled(MANY) as many:
        memory = Pair(many.bytes_per_event, few.bytes_per_event)
        loads = await compared(many.load, few.load, ROUNDS)
        appends = await compared(many.append, few.append, ROUNDS)
    against = f"{FEW:,} aggregates"
    return [
        figure(f"growth, {MANY:,} aggregates, append", appends, "appends/s", against),
        figure(f"growth, {MANY:,} aggregates, load", loads, "aggregates/s", against),
        figure(f"growth, {MANY:,} aggregates of 1 event, memory", memory, "bytes/event", against),
    ]


class Filled:
    """A store with one event in each of ``count`` aggregates."""

    def __init__(self, store: EventStore, count: int) -> None:
        self._store = store
        self._ids = CommandIds()
        # The same number in each round whatever the size, and far from each other.
        self._sample = random.Random(1).sample(range(count), PER_ROUND)
        self._count = count
        self._version = 0
        self.bytes_per_event = 0.0

    async def fill(self) -> None:
        before = await used_memory(self._store)
        await self._append_to(range(self._count))
        await _rewritten(self._store)
        self._version = 1
        self.bytes_per_event = (await used_memory(self._store) - before) / self._count

    async def append(self) -> float:
        """One more event for each aggregate of the sample; returns appends per second."""
        start = time.perf_counter()
        await self._append_to(self._sample)
        self._version += 1
        return PER_ROUND / (time.perf_counter() - start)

    async def load(self) -> float:
        """The aggregates of the sample, from their events; returns aggregates per second."""
        events, kind = domain.write_model.events, domain.write_model.aggregate("account")
        start = time.perf_counter()
        for streams in _batches(self._sample):
            found = await load_many(self._store, events, kind, streams)
            assert {one.version for one in found} == {self._version}
        return PER_ROUND / (time.perf_counter() - start)

    async def _append_to(self, numbers: Sequence[int]) -> None:
        for streams in _batches(numbers):
            appends = [deposit(stream, self._version, self._ids) for stream in streams]
            outcomes = await self._store.append_many(appends)
            assert all(isinstance(outcome, Committed) for outcome in outcomes)


@asynccontextmanager
async def _filled(count: int) -> AsyncGenerator[Filled]:
    with server("everysec") as running:
        async with open_store(running.url, durability="relaxed") as store:
            filled = Filled(store, count)
            await filled.fill()
            yield filled


def _batches(numbers: Sequence[int]) -> Iterator[list[StreamId]]:
    for first in range(0, len(numbers), PER_CALL):
        yield [StreamId("account", str(number)) for number in numbers[first : first + PER_CALL]]


async def _rewritten(store: EventStore) -> None:
    """Wait until the server no longer rewrites its log beside its work."""
    with anyio.fail_after(PATIENCE):
        while b"aof_rewrite_in_progress:0" not in await store.ask("INFO", "persistence"):
            await anyio.sleep(0.1)
