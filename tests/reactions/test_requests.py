"""A request that comes in the place of another one, which a worker has begun with."""

import pytest

from tests.reactions.domain import Clerk, Ticket, clerk, domain
from whence import Runtime
from whence.projections.batch import Change
from whence.projections.lease import Leases
from whence.projections.notes import Note, Request, Skipped
from whence.projections.requests import leave
from whence.projections.settings import WorkerSettings
from whence.reactions.checkpoint import Checkpoints
from whence.reactions.delivery import Delivery
from whence.reactions.reactor import Reactor
from whence.reactions.retries import Retries
from whence.store.eventstore import EventStore
from whence.store.ids import StreamId

STREAM = StreamId("ticket", "1")
NOTHING_BY_ITSELF = WorkerSettings(attempts=1)


async def test_is_answered_after_it(store: EventStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Clerk, "broken", frozenset({STREAM.id}))
    number, wire = store.keys.partition(STREAM), store.address.wire()
    async with Runtime(store, domain.write_model) as runtime:
        checkpoints = Checkpoints(store, clerk.name, wire)
        await checkpoints.begin_now()
        await runtime.send(Ticket.begin, STREAM.id)
        (lease,) = await Leases(store, clerk.name, "one", 60_000, wire).acquire([number])
        (pointer,) = await store.pointers(number, after=0)
        waits = {STREAM: Note(1, pointer.position, "TicketOpened", "why")}
        await checkpoints.commit(lease, Change({}, 1, pointer.position, "", waits), {})
        reactor = Reactor(clerk, Delivery(runtime, clerk.name), store.identity.uuid, 1)
        retries = Retries(store, reactor, checkpoints, NOTHING_BY_ITSELF)

        await leave(wire, store, clerk, STREAM, Request("retry", 1, "ann"))
        await retries.look([lease])
        await leave(wire, store, clerk, STREAM, Request("skip", 1, "bob", "never mind"))
        assert retries.due(lease) == STREAM
        await retries.step(lease, STREAM)
        assert lease.parked[STREAM].attempts == 2

        await retries.look([lease])
        assert retries.due(lease) == STREAM
        await retries.step(lease, STREAM)
        assert lease.skipped == {Skipped(STREAM, 1)}
        assert lease.parked == {}
        assert await store.ask("EXISTS", store.keys.asked(number, clerk.name)) == 0
    await wire.close()
