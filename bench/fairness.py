"""What a hot aggregate costs the others: their p99 beside it, against their p99 without it."""

import asyncio
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from typing import Literal

import uvloop

from bench.domain import REFERENCE, Account, domain
from bench.figure import Figure, compared, figure, server
from whence import Runtime, open_store

HOT_CALLERS = 256
CALLERS = 64
AGGREGATES = 1_000
COMMANDS = 20_000


def figures() -> Iterator[Figure]:
    for fsync in ("always", "everysec"):
        with server(fsync) as running:
            yield uvloop.run(_measure(running.url, fsync))


async def _measure(url: str, fsync: Literal["always", "everysec"]) -> Figure:
    async with (
        open_store(url, namespace="fairness", durability="relaxed") as store,
        Runtime(store, domain.write_model) as runtime,
    ):

        async def beside_a_hot_one() -> float:
            async with _hot(runtime):
                return await _p99(runtime)

        await _p99(runtime)  # every aggregate exists and is live
        pair = await compared(beside_a_hot_one, lambda: _p99(runtime))
    name = f"fairness, {AGGREGATES} aggregates under {CALLERS} callers, {fsync}"
    return figure(name, pair, "ms p99", f"without one more aggregate under {HOT_CALLERS} callers")


@asynccontextmanager
async def _hot(runtime: Runtime) -> AsyncGenerator[None]:
    """One aggregate under many callers, for as long as the block runs."""
    over = False

    async def caller() -> None:
        while not over:
            await runtime.send(Account.deposit, "hot", amount=1, reference=REFERENCE)

    async with asyncio.TaskGroup() as callers:
        for _ in range(HOT_CALLERS):
            callers.create_task(caller())
        try:
            yield
        finally:
            over = True


async def _p99(runtime: Runtime) -> float:
    """Milliseconds that 99 % of the commands to the others take at most."""
    numbers = iter(range(COMMANDS))
    taken: list[float] = []

    async def caller() -> None:
        for number in numbers:
            start = time.perf_counter()
            id_ = str(number % AGGREGATES)
            await runtime.send(Account.deposit, id_, amount=1, reference=REFERENCE)
            taken.append(time.perf_counter() - start)

    await asyncio.gather(*[caller() for _ in range(CALLERS)])
    return sorted(taken)[len(taken) * 99 // 100] * 1000
