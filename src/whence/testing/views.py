"""Read models in tests: brought up to date where the test says so."""

import asyncio

from whence.projections.readmodel import ReadModel
from whence.projections.status import status, wait_until_caught_up
from whence.projections.worker import Worker
from whence.store.eventstore import EventStore


async def catch_up(store: EventStore, read_model: ReadModel) -> None:
    """Run a worker until the views have all that is in the log.

    Raises:
        TimeoutError: a view has not after 10 seconds; a note says what halts it.
    """
    worker = asyncio.create_task(Worker(store, read_model).run())
    try:
        for projection in read_model.projections.values():
            try:
                await wait_until_caught_up(store, projection)
            except TimeoutError as error:
                for part in await status(store, projection):
                    if part.failure:
                        error.add_note(part.failure)
                raise
    finally:
        worker.cancel()
        await asyncio.wait([worker])
