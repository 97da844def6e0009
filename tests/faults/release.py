"""``python -m tests.faults.release MODULE ORDERS``: a process of a release, web and worker in one.

It sends its commands and keeps the view up to date, and ends when its standard input does.
"""

import asyncio
import logging
import sys
from importlib import import_module
from pathlib import Path
from typing import ClassVar

import msgspec

from tests.faults.commander import Commander, Orders, Work
from tests.faults.history import Recorder
from tests.faults.simulation.view import TallyRow, after
from whence import Runtime, open_store
from whence.actors.model import WriteModel
from whence.projections.projection import Projection, on
from whence.projections.readmodel import ReadModel
from whence.projections.settings import WorkerSettings
from whence.projections.views import Views
from whence.projections.worker import Worker
from whence.store.errors import UnknownEventType
from whence.store.events import Event
from whence.store.recorded import Recorded

SETTINGS = WorkerSettings(lease_ms=1_000, poll_ms=50, retry_ms=50, longest_retry_ms=200)


class OfARelease(Commander):
    """An event of a newer release ends a command before anything is stored."""

    expected: ClassVar[tuple[type[Exception], ...]] = (*Commander.expected, UnknownEventType)


def read_model(model: WriteModel) -> ReadModel:
    """The view of all events of a release, which parks what it cannot read."""
    (kind,) = model.aggregates.values()
    deposited, withdrawn = sorted(kind.events, key=lambda event: event.__name__)

    class Tally(Projection[TallyRow]):
        @on(deposited, withdrawn)
        def any(self, event: Event, record: Recorded, views: Views[TallyRow]) -> None:
            data = record.data.decode()
            views.update(record.id, lambda row: after(row, record.version, data), start=TallyRow())

    return ReadModel([Tally], model.events)


async def run(model: WriteModel, orders: Orders) -> None:
    async with (
        open_store(orders.url, namespace=orders.namespace) as store,
        Runtime(store, model) as runtime,
    ):
        worker = asyncio.create_task(
            Worker(store, read_model(model), name=orders.name, settings=SETTINGS).run()
        )
        with Recorder(Path(orders.folder) / orders.name, orders.name) as recorder:
            commander = OfARelease(runtime, recorder, Work(orders.seed, orders.aggregates))
            numbers = range(orders.slot, orders.count, orders.slots)
            await commander.run(numbers, orders.callers)
        await asyncio.to_thread(sys.stdin.read)
        worker.cancel()
        await asyncio.wait([worker])


if __name__ == "__main__":
    # An older release says of each event that it cannot read that it has parked it.
    logging.disable(logging.CRITICAL)
    module = import_module(sys.argv[1])
    asyncio.run(run(module.model, msgspec.json.decode(sys.argv[2], type=Orders)))
