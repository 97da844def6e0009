"""The newest state over HTTP, against an endpoint on the same server that looks nothing up."""

import itertools
from collections.abc import Iterator

import uvloop

from bench.client import get, requests_per_second
from bench.figure import Figure, compared, figure, server
from bench.http import AGGREGATES, CONNECTIONS, HOST, REQUESTS, deposits, web


def figures() -> Iterator[Figure]:
    with server() as running, web(running.url) as port:
        yield uvloop.run(_measure(port))


async def _measure(port: int) -> Figure:
    # Every aggregate exists and is live, as in a system that has run for a minute.
    await requests_per_second(HOST, port, deposits(itertools.count()), CONNECTIONS)
    pair = await compared(
        lambda: requests_per_second(HOST, port, _gets("/accounts"), CONNECTIONS),
        lambda: requests_per_second(HOST, port, _gets("/noop"), CONNECTIONS),
    )
    against = "a no-op GET on the same server"
    return figure(f"http_get, {CONNECTIONS} connections", pair, "reads/s", against)


def _gets(path: str) -> Iterator[bytes]:
    for number in range(REQUESTS):
        yield get(f"{path}/{number % AGGREGATES}")
