"""A rebuild in a process of its own, for a test to kill: URL and namespace."""

import sys

import anyio

from tests.projections.domain import counts
from whence.projections.rebuild import rebuild
from whence.projections.settings import WorkerSettings
from whence.store.eventstore import open_store


async def main(url: str, namespace: str) -> None:
    settings = WorkerSettings(lease_ms=500, poll_ms=20, batch=1)
    async with open_store(url, namespace=namespace) as store:
        await rebuild(store, counts, settings=settings)


if __name__ == "__main__":
    anyio.run(main, sys.argv[1], sys.argv[2])
