"""Commands from 2 and 4 processes on one server, against one: of one aggregate, and of many."""

import asyncio
import itertools
import multiprocessing
import time
from collections.abc import Iterator
from multiprocessing.pool import Pool
from typing import NamedTuple

import uvloop

from bench.domain import REFERENCE, Account, domain
from bench.figure import Figure, Pair, figure, server
from whence import Runtime, open_store
from whence.cli.running import relax_gc
from whence.store.ids import StreamId

PROCESSES = (2, 4)
ROUNDS = 3
CALLERS = 64  # in each process
MANY = 10_000
SECONDS = 2.0
START = 1.5  # seconds until all processes are up


class Share(NamedTuple):
    """What one process does: deposits to the accounts ``first``, ``first + step`` and so on."""

    url: str
    namespace: str
    first: int
    step: int
    accounts: int
    starts_at: float


class Done(NamedTuple):
    """Commands/s, and the versions that were acknowledged by account."""

    rate: float
    acknowledged: dict[str, list[int]]


class Case(NamedTuple):
    """``apart``: each aggregate has a process of its own, as behind a proxy that hashes."""

    name: str
    accounts: int
    apart: bool


CASES = (
    Case("one aggregate", 1, apart=False),
    Case(f"{MANY} aggregates, any process for each", MANY, apart=False),
    Case(f"{MANY} aggregates, each with its process", MANY, apart=True),
)


def figures() -> Iterator[Figure]:
    numbers = itertools.count()
    with server() as running:
        for case in CASES:
            for processes in PROCESSES:
                pairs = [
                    Pair(
                        _measure(running.url, f"processes-{next(numbers)}", processes, case),
                        _measure(running.url, f"processes-{next(numbers)}", 1, case),
                    )
                    for _ in range(ROUNDS)
                ]
                pair = sorted(pairs, key=lambda pair: pair.value / pair.baseline)[ROUNDS // 2]
                name = f"processes, {processes}, {case.name}, always"
                yield figure(name, pair, "commands/s", "one process")


def _measure(url: str, namespace: str, processes: int, case: Case) -> float:
    uvloop.run(_make(url, namespace))
    starts_at = time.monotonic() + START
    firsts = range(processes) if case.apart else [0] * processes
    step = processes if case.apart else 1
    shares = [Share(url, namespace, first, step, case.accounts, starts_at) for first in firsts]
    pool: Pool
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        done = pool.map(_run, shares, chunksize=1)
    uvloop.run(_check(url, namespace, done))
    return sum(each.rate for each in done)


async def _make(url: str, namespace: str) -> None:
    """The store is made once, before the processes open it."""
    async with open_store(url, namespace=namespace):
        pass


def _run(share: Share) -> Done:
    relax_gc()  # as whence web does
    return uvloop.run(_deposit(share))


async def _deposit(share: Share) -> Done:
    acknowledged: dict[str, list[int]] = {}
    async with (
        open_store(share.url, namespace=share.namespace) as store,
        Runtime(store, domain.write_model) as runtime,
    ):
        numbers = iter(_cycle(range(share.first, share.accounts, share.step)))

        async def caller() -> None:
            while time.monotonic() < share.starts_at + SECONDS:
                id_ = str(next(numbers))
                receipt = await runtime.send(Account.deposit, id_, 1, REFERENCE)
                acknowledged.setdefault(id_, []).append(receipt.version)

        await asyncio.sleep(max(0.0, share.starts_at - time.monotonic()))
        start = time.perf_counter()
        await asyncio.gather(*[caller() for _ in range(CALLERS)])
        took = time.perf_counter() - start
    return Done(sum(map(len, acknowledged.values())) / took, acknowledged)


def _cycle(numbers: range) -> Iterator[int]:
    while True:
        yield from numbers


async def _check(url: str, namespace: str, done: list[Done]) -> None:
    """A figure counts if it is right: each version was acknowledged once, by one process."""
    told: dict[str, list[int]] = {}
    for each in done:
        for id_, versions in each.acknowledged.items():
            told.setdefault(id_, []).extend(versions)
    async with open_store(url, namespace=namespace) as store:
        for id_, versions in told.items():
            head = await store.head(StreamId("account", id_))
            assert sorted(versions) == list(range(1, head + 1)), f"account/{id_}"
