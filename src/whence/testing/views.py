"""Read models in tests: brought up to date where the test says so."""

import asyncio
import time

from whence.projections.projection import Projector
from whence.projections.readmodel import ReadModel
from whence.projections.status import status, wait_until_caught_up
from whence.projections.worker import Worker
from whence.store.eventstore import EventStore

# Seconds between two looks whether a view is halted.
_LOOK_EVERY = 0.5


async def catch_up(store: EventStore, read_model: ReadModel, *, timeout_s: float = 10.0) -> None:
    """Run a worker until the views have all that is in the log.

    Raises:
        TimeoutError: a view is halted, and a note says by what; or it is not there after
            ``timeout_s`` seconds.
    """
    worker = asyncio.create_task(Worker(store, read_model).run())
    give_up = time.monotonic() + timeout_s
    try:
        for projection in read_model.projections.values():
            await _wait(store, projection, give_up)
    finally:
        worker.cancel()
        await asyncio.wait([worker])


async def _wait(store: EventStore, projection: Projector, give_up: float) -> None:
    while True:
        try:
            return await wait_until_caught_up(store, projection, timeout_s=_LOOK_EVERY)
        except TimeoutError as error:
            failures = [part.failure for part in await status(store, projection) if part.failure]
            for failure in failures:
                error.add_note(failure)
            if failures or time.monotonic() > give_up:
                raise
