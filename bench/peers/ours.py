"""The same deposits through Whence, on its embedded server."""

import asyncio
import itertools
import time

import uvloop

from bench.domain import REFERENCE, Account, domain
from bench.peers.peer import ACCOUNTS, SECONDS
from whence import Runtime, open_store

CALLERS = (64, 512, 1024)


def measure(url: str) -> dict[str, float]:
    """Commands/s by setting, each with accounts of its own."""
    return {
        f"{callers} callers": uvloop.run(_measure(url, f"peers-{callers}", callers))
        for callers in CALLERS
    }


async def _measure(url: str, namespace: str, callers: int) -> float:
    async with (
        open_store(url, namespace=namespace) as store,
        Runtime(store, domain.write_model) as runtime,
    ):

        async def deposit(numbers: "itertools.count[int]", until: float) -> None:
            while time.perf_counter() < until:
                id_ = str(next(numbers) % ACCOUNTS)
                await runtime.send(Account.deposit, id_, amount=1, reference=REFERENCE)

        opened = [runtime.send(Account.deposit, str(n), 1, REFERENCE) for n in range(ACCOUNTS)]
        await asyncio.gather(*opened)
        numbers = itertools.count()
        start = time.perf_counter()
        await asyncio.gather(*[deposit(numbers, start + SECONDS) for _ in range(callers)])
        return next(numbers) / (time.perf_counter() - start)
