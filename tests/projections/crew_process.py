"""A worker in a process of its own that ends gracefully on SIGTERM: URL and namespace."""

import signal
import sys

import anyio

from tests.projections.applied import model
from whence.projections.settings import WorkerSettings
from whence.projections.worker import Worker
from whence.store.durability import RELAXED
from whence.store.eventstore import open_store

# Long enough for a busy machine, short enough to be waited for.
LEASE_MS = 1_500
SETTINGS = WorkerSettings(lease_ms=LEASE_MS, poll_ms=50, batch=3, retry_ms=20)


async def main(url: str, namespace: str) -> None:
    with anyio.open_signal_receiver(signal.SIGTERM) as signals:
        async with (
            open_store(url, namespace=namespace, durability=RELAXED) as store,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(Worker(store, model, settings=SETTINGS).run)
            async for _ in signals:
                break
            tasks.cancel_scope.cancel()


if __name__ == "__main__":
    anyio.run(main, sys.argv[1], sys.argv[2])
