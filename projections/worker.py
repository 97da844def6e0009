"""A process that keeps the views of a domain up to date."""

import os
import secrets
import socket

import anyio

from whence.projections.keeper import Keeper
from whence.projections.readmodel import ReadModel
from whence.projections.settings import WorkerSettings
from whence.store.eventstore import EventStore


class Worker:
    """Follows the log for every projection of a domain.

    Any number of workers may run beside each other, and come and go: the partitions of each
    projection are shared evenly among them, and each has one worker at a time. An event takes
    effect in a view exactly once, in its order within its aggregate and partition.

    Args:
        name: shown as the owner of partitions; the host and process id unless given.
    """

    def __init__(
        self,
        store: EventStore,
        projections: ReadModel,
        *,
        name: str = "",
        settings: WorkerSettings | None = None,
    ) -> None:
        self.name = name or f"{socket.gethostname()}:{os.getpid()}"
        # Two workers of one name must not take each other's leases for their own.
        self.owner = f"{self.name}:{secrets.token_hex(4)}"
        self._store = store
        self._projections = projections
        self._settings = settings or WorkerSettings()

    async def run(self) -> None:
        """Work until cancelled, then give the partitions back (within 2 seconds).

        Outages of the server and events that cannot be applied are logged and tried again, for as
        long as it takes; neither ends the worker. It may be run once at a time.
        """
        async with anyio.create_task_group() as tasks:
            for projection in self._projections.projections.values():
                keeper = Keeper(self._store, projection, self.owner, self._settings)
                tasks.start_soon(keeper.run, name=f"keep {projection.name}")
            await anyio.sleep_forever()
