"""Commands of many callers while something breaks, and the check of what was acknowledged."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from tests.actors.domain import Counted, Counter, model
from whence import Runtime
from whence.store.errors import OutcomeUnknown, StoreUnavailable
from whence.store.eventstore import EventStore
from whence.store.ids import StreamId

CALLERS = 32
AGGREGATES = 100


class Load:
    """Callers that count on counters, each again as soon as it was answered.

    Attributes:
        acknowledged: id, version and total of each command that was.
        unknown: how many ended without anybody knowing.
    """

    def __init__(self, store: EventStore, runtime: Runtime) -> None:
        self.acknowledged: list[tuple[str, int, int]] = []
        self.unknown = 0
        self._store = store
        self._runtime = runtime
        self._over = False
        self._callers: list[asyncio.Task[None]] = []

    def start(self) -> None:
        self._callers = [asyncio.create_task(self._command(number)) for number in range(CALLERS)]

    async def stop(self) -> None:
        """Wait for every command that is under way."""
        self._over = True
        await asyncio.gather(*self._callers)

    async def _command(self, number: int) -> None:
        while not self._over:
            number += CALLERS
            id_ = str(number % AGGREGATES)
            try:
                receipt = await self._runtime.send(Counter.count, id_)
            except OutcomeUnknown:
                self.unknown += 1
                continue
            except StoreUnavailable:
                await asyncio.sleep(0.01)
                continue
            (event,) = receipt.events
            assert isinstance(event, Counted)
            self.acknowledged.append((id_, receipt.version, event.total))

    async def more(self, count: int) -> None:
        """Return when so many commands more were acknowledged."""
        await self.until(len(self.acknowledged) + count)

    async def more_of_each(self, ids: set[str]) -> None:
        """Return when each of these aggregates has acknowledged a command more."""
        seen = len(self.acknowledged)
        async with asyncio.timeout(60):
            while not ids <= {id_ for id_, _, _ in self.acknowledged[seen:]}:
                await self.until(len(self.acknowledged) + 1)

    async def until(self, count: int) -> None:
        async with asyncio.timeout(60):
            while len(self.acknowledged) < count:
                for caller in self._callers:
                    if caller.done():
                        caller.result()
                await asyncio.sleep(0.002)

    async def check(self) -> None:
        """Acknowledged events are there once, at their version; the log has no gap, no phantom."""
        stored: dict[tuple[str, int], int] = {}
        for number in range(AGGREGATES):
            async for record in self._store.read(StreamId("counter", str(number))):
                (event,) = model.events.decode_all(record)
                assert isinstance(event, Counted)
                assert event.total == record.version
                stored[record.id, record.version] = event.total
        # No phantom: an event is acknowledged, or its caller was told that nobody knows.
        acknowledged = {(id_, version) for id_, version, _ in self.acknowledged}
        assert len(set(stored) - acknowledged) <= self.unknown
        assert len(acknowledged) == len(self.acknowledged)
        for id_, version, total in self.acknowledged:
            assert stored.get((id_, version)) == total, f"{id_}@{version} was acknowledged, is gone"
        await self._check_feeds(set(stored))

    async def _check_feeds(self, stored: set[tuple[str, int]]) -> None:
        seen: list[tuple[str, int]] = []
        for partition in range(self._store.keys.partitions):
            position = 0
            while pointers := await self._store.pointers(partition, after=position):
                await self._store.fetch(pointers)
                seen += [(pointer.stream.id, pointer.version) for pointer in pointers]
                position = pointers[-1].position
        assert len(seen) == len(stored)
        assert set(seen) == stored


@asynccontextmanager
async def under_load(store: EventStore) -> AsyncGenerator[Load]:
    """Commands run within the block; then what was acknowledged is checked."""
    async with Runtime(store, model) as runtime:
        load = Load(store, runtime)
        load.start()
        try:
            yield load
        finally:
            await load.stop()
        await load.check()
