"""A worker of SQL views in a process of its own, for a test to kill: URL, namespace, database."""

import sys

import anyio

from tests.projections.sqldomain import CityTable, TallyTable, only
from whence.projections.settings import WorkerSettings
from whence.projections.worker import Worker
from whence.sql import open_database
from whence.store.eventstore import open_store


async def main(url: str, namespace: str, sql_url: str) -> None:
    settings = WorkerSettings(lease_ms=500, poll_ms=20, batch=3, retry_ms=20)
    async with (
        open_store(url, namespace=namespace) as store,
        open_database(sql_url) as database,
    ):
        await Worker(store, only(TallyTable, CityTable).at(database), settings=settings).run()


if __name__ == "__main__":
    anyio.run(main, sys.argv[1], sys.argv[2], sys.argv[3])
