"""When timers are looked at, where the usual way to them is not open."""

import time
from collections.abc import AsyncIterator
from typing import ClassVar

import anyio
import msgspec
import pytest

from tests.reactions.domain import (
    Deadlines,
    Ticket,
    TicketOpened,
    deadlines,
    domain,
    reacting,
    until,
)
from whence import Recorded, Runtime
from whence.projections.batch import Change
from whence.projections.lease import Lease, Leases
from whence.projections.settings import WorkerSettings
from whence.reactions import Then, reacts
from whence.reactions.alarms import Alarms
from whence.reactions.checkpoint import Checkpoints
from whence.reactions.delivery import Delivery
from whence.reactions.status import timer_counts
from whence.reactions.timer import Timer, TimerId
from whence.store.eventstore import EventStore
from whence.store.ids import StreamId

TOUCHED = StreamId("ticket", "1")
# Longer than a test: what is seen to happen has not waited for it.
NEVER_MS = 600_000


@pytest.fixture
async def runtime(store: EventStore) -> AsyncIterator[Runtime]:
    async with Runtime(store, domain.write_model) as runtime:
        yield runtime


async def closed(runtime: Runtime, ticket: str) -> None:
    """Return when a timer has closed this ticket."""
    with anyio.fail_after(20):
        while (await runtime.get(Ticket, ticket)).state.reason != "late":
            await anyio.sleep(0.01)


class Gated:
    """A timer that is due while two events of its partition have not been handled yet."""

    def __init__(self, store: EventStore, runtime: Runtime, poll_ms: int) -> None:
        self.number = store.keys.partition(TOUCHED)
        self.wire = store.address.wire()
        settings = WorkerSettings(
            lease_ms=NEVER_MS, poll_ms=poll_ms, retry_ms=1, longest_retry_ms=1
        )
        self.checkpoints = Checkpoints(store, "deadlines", self.wire)
        self.leases = Leases(store, "deadlines", "one", NEVER_MS, self.wire)
        self.alarms = Alarms(
            runtime.model,
            "deadlines",
            Delivery(runtime, "deadlines"),
            self.checkpoints,
            settings,
            anyio.Semaphore(1),
        )

    async def begin(self, runtime: Runtime, target: str) -> Lease:
        await runtime.send(Ticket.begin, target)
        for _ in range(2):
            await runtime.send(Ticket.touch, TOUCHED.id)
        (lease,) = await self.leases.acquire([self.number])
        late = msgspec.Raw(b'{"reason":"late"}')
        timer = Timer(1_000, "ticket", target, "close", late, "c", f"{TOUCHED}@1")
        await self.checkpoints.commit(
            lease, Change({}, 0, 0, ""), {TimerId(TOUCHED, "limit"): timer}
        )
        self.alarms.take(self.number)
        return lease


def elsewhere(store: EventStore) -> str:
    """A ticket of another partition."""
    number = store.keys.partition(TOUCHED)
    return next(
        name for name in map(str, range(99))
        if store.keys.partition(StreamId("ticket", name)) != number
    )  # fmt: skip


async def test_a_timer_that_has_to_wait_for_events_is_not_looked_at_all_the_time(
    store: EventStore, runtime: Runtime
) -> None:
    """Where no events come any more, for the log was rolled back, that would be for ever."""
    gated = Gated(store, runtime, NEVER_MS)
    lease = await gated.begin(runtime, elsewhere(store))
    await gated.alarms.fire(lease)
    assert gated.alarms.look_at(gated.number) > time.monotonic()
    assert sum(await timer_counts(store, deadlines)) == 1

    lease.position = 2  # the events have come, and it need not be looked at again
    await gated.alarms.fire(lease)
    assert sum(await timer_counts(store, deadlines)) == 0
    await gated.wire.close()


async def test_a_timer_does_not_wait_for_events_that_are_gone(
    store: EventStore, runtime: Runtime
) -> None:
    gated = Gated(store, runtime, 1)
    other = elsewhere(store)
    lease = await gated.begin(runtime, other)
    await gated.alarms.fire(lease)
    assert sum(await timer_counts(store, deadlines)) == 1

    await store.ask_many(
        [("DEL", store.keys.feed(gated.number)), ("DEL", store.keys.stream(TOUCHED))]
    )
    with anyio.fail_after(20):
        while sum(await timer_counts(store, deadlines)):
            await gated.alarms.fire(lease)
            await anyio.sleep(0.01)
    await closed(runtime, other)
    await gated.wire.close()


async def test_a_timer_that_has_failed_is_forgotten_when_its_pause_is_over(
    store: EventStore, runtime: Runtime, caplog: pytest.LogCaptureFixture
) -> None:
    """It may be another worker's by then, and never come back: memory must not grow with those."""
    gated = Gated(store, runtime, 1)
    lease = await gated.begin(runtime, elsewhere(store))
    lease.position = 2
    keys = store.keys
    timers, due = (kind(gated.number, "deadlines") for kind in (keys.timers, keys.due))
    await store.ask("HSET", timers, "ticket/1/limit", "damaged")
    await gated.alarms.fire(lease)
    assert "cannot send what timer ticket/1/limit was set for" in caplog.text
    assert list(failed(gated.alarms)) == [TimerId(TOUCHED, "limit")]

    await store.ask_many([("DEL", timers), ("DEL", due)])
    with anyio.fail_after(20):
        while failed(gated.alarms):
            gated.alarms.take(gated.number)
            await gated.alarms.fire(lease)
            await anyio.sleep(0.01)
    await gated.wire.close()


def failed(alarms: Alarms) -> dict[TimerId, float]:
    """What it keeps in memory; nothing that it does shows that."""
    kept: dict[TimerId, float] = vars(alarms)["_failed"]
    return kept


async def test_a_timer_of_a_parked_event_is_looked_at_when_that_is_applied(
    store: EventStore, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Fragile(Deadlines, name="deadlines"):
        broken: ClassVar[bool] = True

        @reacts(TicketOpened)
        def opened(self, event: TicketOpened, record: Recorded, then: Then) -> None:
            if self.broken:
                raise ArithmeticError
            super().opened(event, record, then)

    async with reacting(store, Fragile):
        await runtime.send(Ticket.begin, "1", minutes=0.0)
        await until(store, lambda found: sum(part.parked for part in found) == 1, deadlines)
        monkeypatch.setattr(Fragile, "broken", False)
        await closed(runtime, "1")


async def test_a_timer_that_is_set_anew_does_not_wait_because_the_one_before_failed(
    store: EventStore, runtime: Runtime, caplog: pytest.LogCaptureFixture
) -> None:
    patient = WorkerSettings(
        lease_ms=3_000, poll_ms=50, retry_ms=NEVER_MS, longest_retry_ms=NEVER_MS
    )
    async with reacting(store, Deadlines):
        await runtime.send(Ticket.begin, "1", minutes=60.0)
        with anyio.fail_after(20):
            while not sum(await timer_counts(store, deadlines)):
                await anyio.sleep(0.01)
    number = store.keys.partition(StreamId("ticket", "1"))
    key = store.keys.timers(number, "deadlines")
    stored: bytes = await store.ask("HGET", key, "ticket/1/limit")
    await store.ask("HSET", key, "ticket/1/limit", stored.replace(b'"close"', b'"shut"'))
    await store.ask("ZADD", store.keys.due(number, "deadlines"), 1, "ticket/1/limit")
    async with reacting(store, Deadlines, settings=patient):
        with anyio.fail_after(20):
            while "cannot send what timer ticket/1/limit was set for" not in caplog.text:
                await anyio.sleep(0.01)
        await runtime.send(Ticket.begin, "1", minutes=0.0)
        await closed(runtime, "1")
