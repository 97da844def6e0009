"""How long a command takes over HTTP at half of the load that one process can take."""

import itertools
from collections.abc import Iterator

import uvloop

from bench.client import latencies, requests_per_second
from bench.figure import Figure, Pair, figure, server
from bench.http import AGGREGATES, CONNECTIONS, HOST, deposits, web

HALF_LOAD_FOR = 3.0  # seconds per round
ROUNDS = 5
DEMANDED_MS = 15.0


def figures() -> Iterator[Figure]:
    for fsync in ("always", "everysec"):
        with server(fsync) as running, web(running.url) as port:
            yield uvloop.run(_half_load(port, fsync))


async def _half_load(port: int, fsync: str) -> Figure:
    numbers = itertools.count()
    # Every aggregate exists and is live, as in a system that has run for a minute.
    await requests_per_second(HOST, port, deposits(numbers), CONNECTIONS)
    found: list[float] = []
    for _ in range(ROUNDS):
        most = await requests_per_second(HOST, port, deposits(numbers), CONNECTIONS)
        forever = itertools.chain.from_iterable(deposits(numbers) for _ in itertools.count())
        took = await latencies(HOST, port, forever, CONNECTIONS, most / 2, HALF_LOAD_FOR)
        found.append(sorted(took)[int(len(took) * 0.99)] * 1000)
    p99 = sorted(found)[ROUNDS // 2]
    name = f"http, p99 at half load, {CONNECTIONS} connections, {AGGREGATES} aggregates, {fsync}"
    return figure(name, Pair(p99, DEMANDED_MS), "ms", f"{DEMANDED_MS:g} ms")
