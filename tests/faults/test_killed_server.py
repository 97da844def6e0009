"""kill -9 of the server while commands run: what was acknowledged is there, at its version."""

import asyncio
import os
import signal
from pathlib import Path

from tests.actors.domain import Counted, Counter, model
from whence import Runtime, open_store
from whence.store.embedded import EmbeddedServer
from whence.store.errors import OutcomeUnknown, StoreUnavailable
from whence.store.eventstore import EventStore
from whence.store.ids import StreamId

KILLS = 20
CALLERS = 32
AGGREGATES = 100
BETWEEN_KILLS = 150  # acknowledged commands


async def test_20_kills_lose_no_acknowledged_command(tmp_path: Path) -> None:
    data = tmp_path / "data"
    server = EmbeddedServer.start(data)
    acknowledged: list[tuple[str, int, int]] = []
    try:
        async with open_store(server.url) as store, Runtime(store, model) as runtime:
            stop = asyncio.Event()
            callers = [
                asyncio.create_task(command(runtime, caller, acknowledged, stop))
                for caller in range(CALLERS)
            ]
            for _ in range(KILLS):
                enough = len(acknowledged) + BETWEEN_KILLS
                await acknowledged_reach(acknowledged, enough, callers)
                os.kill(server.pid, signal.SIGKILL)
                await asyncio.to_thread(server.stop)
                server = await asyncio.to_thread(EmbeddedServer.start, data)
            stop.set()
            await asyncio.gather(*callers)
            await check(store, acknowledged, unknown=sum(done.result() for done in callers))
    finally:
        server.stop()
    assert len(acknowledged) >= KILLS * BETWEEN_KILLS


async def command(
    runtime: Runtime, caller: int, acknowledged: list[tuple[str, int, int]], stop: asyncio.Event
) -> int:
    """Command until told to stop; returns how often nobody knew the outcome."""
    number, unknown = caller, 0
    while not stop.is_set():
        number += CALLERS
        id_ = str(number % AGGREGATES)
        try:
            receipt = await runtime.send(Counter.count, id_)
        except OutcomeUnknown:
            unknown += 1
            continue
        except StoreUnavailable:
            continue
        (event,) = receipt.events
        assert isinstance(event, Counted)
        acknowledged.append((id_, receipt.version, event.total))
    return unknown


async def check(store: EventStore, acknowledged: list[tuple[str, int, int]], unknown: int) -> None:
    """Acknowledged events are there once, at their version; the log has no gap and no phantom."""
    stored: dict[tuple[str, int], int] = {}
    for number in range(AGGREGATES):
        async for record in store.read(StreamId("counter", str(number))):
            (event,) = model.events.decode_all(record)
            assert isinstance(event, Counted)
            assert event.total == record.version
            stored[record.id, record.version] = event.total
    # No phantom: an event is acknowledged, or its caller was told that nobody knows.
    acknowledged_events = {(id_, version) for id_, version, _ in acknowledged}
    assert len(set(stored) - acknowledged_events) <= unknown
    assert len({(id_, version) for id_, version, _ in acknowledged}) == len(acknowledged)
    for id_, version, total in acknowledged:
        assert stored.get((id_, version)) == total, f"{id_}@{version} was acknowledged and is gone"
    await check_feeds(store, set(stored))


async def check_feeds(store: EventStore, stored: set[tuple[str, int]]) -> None:
    seen: set[tuple[str, int]] = set()
    for partition in range(store.keys.partitions):
        position = 0
        while pointers := await store.pointers(partition, after=position):
            await store.fetch(pointers)
            seen |= {(pointer.stream.id, pointer.version) for pointer in pointers}
            position = pointers[-1].position
    assert seen == stored


async def acknowledged_reach(
    acknowledged: list[tuple[str, int, int]], enough: int, running: list[asyncio.Task[int]]
) -> None:
    async with asyncio.timeout(60):
        while len(acknowledged) < enough:
            for task in running:
                if task.done():
                    task.result()
            await asyncio.sleep(0.002)
