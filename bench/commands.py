"""Commands through the runtime, against the same append script without any actors."""

import asyncio
import itertools
import time
from collections.abc import Iterator
from typing import Literal

import uvloop

from bench.domain import REFERENCE, Account, Deposited, domain
from bench.figure import Figure, compared, figure, server
from whence import Runtime, open_store
from whence.store.append import Append, Committed, NewEvent
from whence.store.eventstore import EventStore
from whence.store.ids import CommandIds, StreamId

AGGREGATES = 10_000
APPENDS_PER_CALL = 100
# Commands per round, by the number of callers.
COMMANDS = {1: 2_000, 64: 20_000, 512: 20_000}


def figures() -> Iterator[Figure]:
    for fsync in ("always", "everysec"):
        with server(fsync) as running:
            for callers in COMMANDS:
                yield uvloop.run(_measure(running.url, fsync, callers))


async def _measure(url: str, fsync: Literal["always", "everysec"], callers: int) -> Figure:
    namespace = f"commands-{callers}"
    async with (
        open_store(url, namespace=namespace, durability="relaxed") as store,
        Runtime(store, domain.write_model) as runtime,
    ):
        bare = BareLoop(store)
        count = COMMANDS[callers]
        # Every aggregate exists and is live, as in a system that has run for a minute.
        await send_all(runtime, 64, AGGREGATES)
        await bare.run(AGGREGATES)
        pair = await compared(
            lambda: send_all(runtime, callers, count), lambda: bare.run(max(count, 10_000))
        )
    against = f"the append script in a loop, {APPENDS_PER_CALL} appends per call"
    return figure(f"commands, {callers} callers, {fsync}", pair, "commands/s", against)


async def send_all(runtime: Runtime, callers: int, count: int) -> float:
    numbers = iter(range(count))

    async def caller() -> None:
        for number in numbers:
            id_ = str(number % AGGREGATES)
            await runtime.send(Account.deposit, id_, amount=1, reference=REFERENCE)

    start = time.perf_counter()
    await asyncio.gather(*[caller() for _ in range(callers)])
    return count / (time.perf_counter() - start)


class BareLoop:
    """What is left without actors: encode, one call for 100 appends, wait, again."""

    def __init__(self, store: EventStore) -> None:
        self._store = store
        self._ids = CommandIds()
        self._streams = [StreamId("bare", str(number)) for number in range(AGGREGATES)]
        self._versions = [0] * AGGREGATES
        self._moments = [0] * AGGREGATES

    async def run(self, count: int) -> float:
        """Append ``count`` events; returns appends per second."""
        numbers = itertools.cycle(range(AGGREGATES))
        start = time.perf_counter()
        for _ in range(count // APPENDS_PER_CALL):
            batch = list(itertools.islice(numbers, APPENDS_PER_CALL))
            outcomes = await self._store.append_many([self._append(number) for number in batch])
            for number, outcome in zip(batch, outcomes, strict=True):
                assert isinstance(outcome, Committed), outcome
                self._versions[number] += 1
                self._moments[number] = outcome.occurred_at_us
        return count / (time.perf_counter() - start)

    def _append(self, number: int) -> Append:
        version, moment = self._versions[number], self._moments[number]
        return deposit(self._streams[number], version, self._ids, moment)


def deposit(stream: StreamId, version: int, ids: CommandIds, after_us: int | None = None) -> Append:
    """One event of about 200 bytes, encoded now."""
    event = domain.write_model.events.encode(Deposited(1, 1, REFERENCE))
    return Append(stream, version, ids.next(), [NewEvent(event)], after_us=after_us)
