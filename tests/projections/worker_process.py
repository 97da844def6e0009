"""A worker in a process of its own, for a test to kill: URL, namespace, and broken parcels."""

import sys

import anyio

from tests.projections.domain import Counts, Tally, only
from whence.projections.settings import WorkerSettings
from whence.projections.worker import Worker
from whence.store.eventstore import open_store


async def main(url: str, namespace: str, broken: str) -> None:
    settings = WorkerSettings(lease_ms=500, poll_ms=20, batch=3, retry_ms=20)
    Tally.broken = frozenset(broken.split(","))
    model = only(Tally if broken else Counts)
    async with open_store(url, namespace=namespace) as store:
        await Worker(store, model, settings=settings).run()


if __name__ == "__main__":
    anyio.run(main, sys.argv[1], sys.argv[2], "".join(sys.argv[3:]))
