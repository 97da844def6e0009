"""From an acknowledged command to the view that shows it, on an idle system with one worker."""

import asyncio
import multiprocessing
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.synchronize import Event
from statistics import quantiles

import uvloop

from bench.domain import REFERENCE, Account, domain
from bench.figure import Figure, server
from whence import Runtime, open_store
from whence.cli.running import relax_gc
from whence.projections.freshness import Freshness, LogPosition
from whence.projections.worker import Worker

COMMANDS = 1_000
# So many are not counted: connections are made, and leases taken.
WARM_UP = 50
NAMESPACE = "freshness"


def figures() -> Iterator[Figure]:
    with server() as running, _worker(running.url):
        commands, views = uvloop.run(_measure(running.url))
    for name, percent in (("p50", 50), ("p99", 99)):
        ours, baseline = _percentile(views, percent), _percentile(commands, percent)
        against = f"{name} of the commands themselves, until they are acknowledged"
        ratio = round(ours / baseline, 3)
        yield Figure(f"freshness, {name}, always", round(ours, 3), "ms", against, ratio)


async def _measure(url: str) -> tuple[list[float], list[float]]:
    """Milliseconds of each command, and from its answer to the view."""
    commands: list[float] = []
    views: list[float] = []
    projection = domain.read_model.projection("balances")
    async with (
        open_store(url, namespace=NAMESPACE) as store,
        Runtime(store, domain.write_model) as runtime,
    ):
        freshness = Freshness(store)
        for number in range(WARM_UP + COMMANDS):
            sent = time.perf_counter()
            receipt = await runtime.send(
                Account.deposit, str(number % 100), amount=1, reference=REFERENCE
            )
            answered = time.perf_counter()
            at = LogPosition(receipt.partition, receipt.position)
            await freshness.caught_up(projection, at, timeout_s=30)
            visible = time.perf_counter()
            if number >= WARM_UP:
                commands.append(1000 * (answered - sent))
                views.append(1000 * (visible - answered))
    return commands, views


def _percentile(values: Sequence[float], percent: int) -> float:
    return quantiles(values, n=100)[percent - 1]


@contextmanager
def _worker(url: str) -> Generator[None]:
    """A worker in a process of its own."""
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    process = context.Process(target=_work, args=(url, stop), daemon=True)
    process.start()
    try:
        yield
    finally:
        stop.set()
        process.join(20)


def _work(url: str, stop: Event) -> None:
    relax_gc()  # as whence worker does
    uvloop.run(_run(url, stop))


async def _run(url: str, stop: Event) -> None:
    async with open_store(url, namespace=NAMESPACE) as store:
        work = asyncio.create_task(Worker(store, domain.read_model).run())
        while not await asyncio.to_thread(stop.wait, 1):
            parent = multiprocessing.parent_process()
            if parent is not None and not parent.is_alive():
                break
        work.cancel()
        await asyncio.wait([work])
