"""Group commit: no append waits for a sender that has already ended."""

import asyncio
from collections.abc import Coroutine, Sequence

from tests.calls import submitting
from tests.store.domain import Opened, append_of
from whence.actors.groupcommit import GroupCommit
from whence.actors.metrics import COUNTS, Histogram
from whence.store.append import Append, Committed, Outcome
from whence.store.appender import Deliver
from whence.store.eventstore import EventStore
from whence.store.ids import StreamId


class Gated(EventStore):
    """A store whose calls all return in one step of the event loop."""

    gate: asyncio.Event

    def submit(self, appends: Sequence[Append], deliver: Deliver) -> None:
        submitting(self._appended)(appends, deliver)

    async def _appended(self, appends: Sequence[Append]) -> list[Outcome | Exception]:
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


class Divided(EventStore):
    """A store whose accounts have lanes of their own; the account "stuck" waits for the gate."""

    gate: asyncio.Event

    def lane(self, stream: StreamId) -> int:
        return ord(stream.id[0])

    def submit(self, appends: Sequence[Append], deliver: Deliver) -> None:
        submitting(self._appended)(appends, deliver)

    async def _appended(self, appends: Sequence[Append]) -> list[Outcome | Exception]:
        assert len({append.stream for append in appends}) == 1
        if appends[0].stream.id == "stuck":
            await self.gate.wait()
        return [Committed(1, 1, 0) for _ in appends]


async def test_a_lane_that_gets_no_answer_keeps_nobody_from_the_others(store: EventStore) -> None:
    divided = Divided(store.address, store.keys, store.identity)
    divided.gate = asyncio.Event()
    commit = GroupCommit(divided, Histogram(COUNTS))

    def append(id_: str) -> Coroutine[None, None, Sequence[Outcome | Exception]]:
        return commit.append([append_of(StreamId("account", id_), 0, Opened("x"))])

    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        stuck = [tasks.create_task(append("stuck")) for _ in range(10)]
        for id_ in ("ada", "bob") * 5:
            await append(id_)
        assert not any(task.done() for task in stuck)
        divided.gate.set()
    await divided.close()
