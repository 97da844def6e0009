"""A worker in a process of its own that ends gracefully on SIGTERM.

Arguments: the server's URL, the namespace, and a database for a SQL view beside the one in Redis.
"""

import signal
import sys
from contextlib import AsyncExitStack

import anyio

from tests.projections.applied import model
from tests.projections.appliedtable import both
from whence.projections.settings import WorkerSettings
from whence.projections.worker import Worker
from whence.sql import open_database
from whence.store.durability import RELAXED
from whence.store.eventstore import open_store

# A lease is long enough for a busy machine, and short enough to be waited for.
SETTINGS = WorkerSettings(lease_ms=1_500, poll_ms=50, batch=3, retry_ms=20)


async def main(url: str, namespace: str, sql_url: str) -> None:
    with anyio.open_signal_receiver(signal.SIGTERM) as signals:
        async with AsyncExitStack() as stack:
            store = await stack.enter_async_context(
                open_store(url, namespace=namespace, durability=RELAXED)
            )
            views = model
            if sql_url:
                views = both.at(await stack.enter_async_context(open_database(sql_url)))
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(Worker(store, views, settings=SETTINGS).run)
                async for _ in signals:
                    break
                tasks.cancel_scope.cancel()


if __name__ == "__main__":
    anyio.run(main, sys.argv[1], sys.argv[2], "".join(sys.argv[3:]))
