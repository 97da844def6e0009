"""Group commit: no append waits for a sender that has already ended."""

import asyncio
from collections.abc import Sequence

from tests.store.domain import Opened, append_of
from whence.actors.groupcommit import GroupCommit
from whence.actors.metrics import COUNTS, Histogram
from whence.store.append import Append, Committed, Outcome
from whence.store.eventstore import EventStore
from whence.store.ids import StreamId


class Gated(EventStore):
    """A store whose calls all return in one step of the event loop."""

    gate: asyncio.Event

    async def append_many(self, appends: Sequence[Append]) -> list[Outcome | Exception]:
        await self.gate.wait()
        return [Committed(1, 1, 0) for _ in appends]


async def test_an_append_that_comes_as_the_last_sender_ends_is_sent(store: EventStore) -> None:
    gated = Gated(store.address, store.keys, store.identity)
    gated.gate = asyncio.Event()
    commit = GroupCommit(gated, Histogram(COUNTS))

    async def append(times: int) -> None:
        for _ in range(times):
            await commit.append([append_of(StreamId("account", "1"), 0, Opened("ada"))])

    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        tasks.create_task(append(2))  # its second append comes before the senders are forgotten
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        tasks.create_task(append(1))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        gated.gate.set()
    await gated.close()
