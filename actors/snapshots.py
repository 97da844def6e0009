"""Keeping snapshots: beside the commands, never before one, and given up when there is no time."""

import asyncio
import logging

from whence.actors.model import AggregateType
from whence.actors.snapshot import Snapshot, Unfit
from whence.store.errors import StoreUnavailable
from whence.store.eventstore import EventStore
from whence.store.ids import StreamId
from whence.store.wire import ConnectionLost, ServerError

log = logging.getLogger(__name__)

# How many aggregates may wait for their snapshot; further ones go without for now.
MAX_WAITING = 64
# Seconds to write what still waits at the end.
FAREWELL = 2.0


class Snapshots:
    """Writes the snapshots that actors offer, one after the other, on a connection of its own.

    Nothing depends on them, so nothing waits for them, and a failed write is only logged. Two
    processes may write one key in any order: both snapshots are true, one is a little older.

    Args:
        every: after how many events since the last one a snapshot is due; 0 means never.
    """

    def __init__(self, store: EventStore, every: int) -> None:
        self._keys = store.keys
        self._wire = store.address.wire()
        self._every = every
        self._waiting: dict[StreamId, tuple[AggregateType, Snapshot]] = {}
        self._unfit: set[str] = set()  # aggregates whose refusal has been logged
        self._task: asyncio.Task[None] | None = None

    def due(self, stream: StreamId, events: int) -> bool:
        """Whether a snapshot of this stream would be taken, so many events after its last one."""
        return 0 < self._every <= events and (
            len(self._waiting) < MAX_WAITING or stream in self._waiting
        )

    def offer(self, kind: AggregateType, snapshot: Snapshot) -> None:
        """Take a snapshot that is ``due``; it replaces an older one that still waits."""
        self._waiting[snapshot.stream] = (kind, snapshot)
        if self._task is None:
            self._task = asyncio.create_task(self._work())

    async def _work(self) -> None:
        try:
            while self._waiting:
                stream = next(iter(self._waiting))
                kind, snapshot = self._waiting.pop(stream)
                await self._write(kind, snapshot)
        finally:
            self._task = None

    async def _write(self, kind: AggregateType, snapshot: Snapshot) -> None:
        fields = kind.snapshots.encode(snapshot)
        if isinstance(fields, Unfit):
            self._say_once(kind, fields)
            return
        try:
            (reply,) = await self._wire.call(
                [("HSET", self._keys.snapshot(snapshot.stream), *fields)]
            )
        except (ConnectionLost, StoreUnavailable) as error:
            reply = error
        if isinstance(reply, (ConnectionLost, StoreUnavailable, ServerError)):
            log.warning(
                "the snapshot of %s at version %d was not written, so it loads slower: %s",
                snapshot.stream,
                snapshot.version,
                reply,
            )

    def _say_once(self, kind: AggregateType, unfit: Unfit) -> None:
        if kind.name not in self._unfit:
            self._unfit.add(kind.name)
            log.warning(
                "a state of %s cannot be kept as a snapshot, so it loads slower: %s",
                kind.name,
                unfit.reason,
            )

    async def close(self) -> None:
        """Write what waits (at most 2 seconds), and end."""
        if self._task is not None:
            task = self._task
            await asyncio.wait([task], timeout=FAREWELL)
            task.cancel()
        await self._wire.close()
