"""Poison, zombies and killed workers at once: what the view is like when all is mended.

The rule of each: the view equals a sequential fold of the log, byte for byte.
"""

import os
import random
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from tests.projections.domain import (
    QUICK,
    Sent,
    Tally,
    Weighed,
    only,
    parcel,
    record,
    record_many,
    until,
    working,
)
from whence.projections.advance import Advance
from whence.projections.batch import Batch
from whence.projections.checkpoint import Checkpoints
from whence.projections.lease import Lease, Leases
from whence.projections.notes import Request
from whence.projections.parked import parked_sequences, skipped_events
from whence.projections.rebuild import rebuild
from whence.projections.requests import leave, retry, skip
from whence.projections.retries import Retries
from whence.projections.settings import WorkerSettings
from whence.projections.status import status, wait_until_caught_up
from whence.store.embedded import EmbeddedServer
from whence.store.errors import LeaseLost, NotParked
from whence.store.eventstore import EventStore, open_store
from whence.store.ids import StreamId
from whence.store.reading import read_feed

ROOT = Path(__file__).parents[2]
STREAMS = [parcel(n) for n in range(12)]
PARTITIONS = range(8)

model = only(Tally)
tally = model.projection("tally")


@pytest.fixture(autouse=True)
def _mended_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Tally, "broken", frozenset[str]())


async def folded(store: EventStore, partition: int) -> dict[str, bytes]:
    """What the events of a partition make of an empty view, one after the other."""
    rows: dict[str, bytes | None] = {}
    async for event in read_feed(store, partition):
        batch = Batch(tally, [event])
        change = batch.settle({key: rows.get(key) for key in batch.wanted})
        assert change is not None
        rows |= change.rows
    return {key: row for key, row in rows.items() if row is not None}


async def view(store: EventStore, partition: int) -> dict[str, bytes]:
    flat = await store.ask("HGETALL", store.keys.view(partition, "tally"))
    return {key.decode(): row for key, row in zip(flat[::2], flat[1::2], strict=True)}


class Hands:
    """A worker whose every step is taken by the test. It believes in its leases for ever."""

    def __init__(self, store: EventStore, name: str, batch: int) -> None:
        settings = WorkerSettings(batch=batch, attempts=1)
        self.store = store
        self.wire = store.address.wire()
        self.leases = Leases(store, "tally", name, 60_000, self.wire)
        checkpoints = Checkpoints(store, "tally", self.wire)
        self.advance = Advance(store, tally, checkpoints, settings)
        self.retries = Retries(store, tally, checkpoints, settings)
        self.held: dict[int, Lease] = {}
        self.batch = batch

    async def take(self, partitions: list[int]) -> None:
        for lease in await self.leases.acquire(partitions, force=True):
            self.held[lease.partition] = lease

    async def move_on(self) -> bool:
        """A piece of each partition that it believes to have; False when there is nothing more."""
        pieces = [
            (
                lease,
                await self.store.pointers(lease.partition, after=lease.position, limit=self.batch),
            )
            for lease in self.held.values()
        ]
        done, errors = await self.advance.apply([(lease, p) for lease, p in pieces if p])
        assert all(isinstance(error, LeaseLost) for error in errors.values()), errors
        return bool(done)

    async def tend(self, steps: int) -> None:
        await self.retries.look(list(self.held.values()))
        while self.retries.running and steps:
            steps -= 1
            errors = await self.retries.step()
            assert all(isinstance(error, LeaseLost) for error in errors.values()), errors
            if errors:
                return


async def break_and_mend(chance: random.Random, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = chance.sample([s.id for s in STREAMS], chance.randrange(5))
    monkeypatch.setattr(Tally, "broken", frozenset(broken))


async def ask_for(store: EventStore, hands: Hands, stream: StreamId) -> None:
    with suppress(NotParked):
        await leave(hands.wire, store, tally, stream, Request("retry", 0, "test"))


@pytest.mark.parametrize("seed", range(8))
async def test_with_random_poison_and_zombies_the_view_is_the_fold_of_the_log(
    store: EventStore, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    chance = random.Random(seed)
    workers = [Hands(store, f"worker-{n}", batch) for n, batch in enumerate((1, 3, 100))]
    await workers[0].take(list(PARTITIONS))
    most = 0
    for _ in range(120):
        hands = chance.choice(workers)
        match chance.randrange(7):
            case 0 | 1:
                grams = [Weighed(chance.randrange(99)) for _ in range(chance.randrange(1, 6))]
                await record(store, chance.choice(STREAMS), *grams)
            case 2 | 3:
                await hands.move_on()  # a zombie's step among them
            case 4:
                await hands.tend(chance.randrange(1, 4))  # and may stop in the middle of a sequence
            case 5:
                await ask_for(store, hands, chance.choice(STREAMS))
                await break_and_mend(chance, monkeypatch)
            case _:
                await hands.take(chance.sample(PARTITIONS, 3))  # the one before becomes a zombie
        most = max(most, len(await parked_sequences(store, tally)))

    last = workers[2]
    await last.take(list(PARTITIONS))
    while await last.move_on():
        pass
    parked = {found.stream for found in await parked_sequences(store, tally)}
    await nobody_else_is_delayed(store, {stream.id for stream in parked})

    monkeypatch.setattr(Tally, "broken", frozenset[str]())
    for stream in parked:
        await ask_for(store, last, stream)
    await last.tend(10_000)
    assert most > 0
    assert await parked_sequences(store, tally) == []
    for partition in PARTITIONS:
        assert await view(store, partition) == await folded(store, partition)
        assert await store.ask("EXISTS", store.keys.asked(partition, "tally")) == 0
    for hands in workers:
        await hands.wire.close()


async def nobody_else_is_delayed(store: EventStore, parked: set[str]) -> None:
    """At the head of the log all events of the parcels that are not parked are in the view."""
    for partition in PARTITIONS:
        rows, whole = await view(store, partition), await folded_anyway(store, partition)
        for id_ in rows.keys() | whole.keys() - parked:
            assert id_ in parked or rows[id_] == whole[id_]


async def folded_anyway(store: EventStore, partition: int) -> dict[str, bytes]:
    """``folded``, as if nothing were broken."""
    broken, Tally.broken = Tally.broken, frozenset()
    try:
        return await folded(store, partition)
    finally:
        Tally.broken = broken


async def test_a_zombie_parks_nothing_and_brings_nothing_back(
    store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = parcel(1)
    number = store.keys.partition(stream)
    await record(store, stream, Sent("Riga"), Weighed(1))
    monkeypatch.setattr(Tally, "broken", frozenset({stream.id}))
    zombie, other = Hands(store, "zombie", 9), Hands(store, "other", 9)
    await zombie.take([number])
    await zombie.move_on()
    await ask_for(store, zombie, stream)
    await zombie.retries.look(list(zombie.held.values()))

    # The other one mends it; the zombie wakes up with what it knew.
    await other.take([number])
    monkeypatch.setattr(Tally, "broken", frozenset[str]())
    await other.tend(9)
    assert await parked_sequences(store, tally) == []
    whole = await view(store, number)
    assert await zombie.retries.step() != {}
    await record(store, stream, Weighed(2))
    monkeypatch.setattr(Tally, "broken", frozenset({stream.id}))
    await zombie.move_on()
    assert await parked_sequences(store, tally) == []
    assert await view(store, number) == whole
    for hands in (zombie, other):
        await hands.wire.close()


async def until_applied(store: EventStore, events: int) -> None:
    await until(store, lambda found: sum(x.position for x in found) >= events, tally)


async def test_kill_9_in_the_middle_leaves_nothing_out_and_applies_nothing_twice(
    valkey: EmbeddedServer, namespace: str
) -> None:
    """Workers that cannot apply every seventh parcel are killed; the last one can, all but one."""
    streams = [parcel(n) for n in range(700)]
    async with open_store(valkey.url, namespace=namespace, partitions=8) as store:
        await record_many(store, streams, Sent("Riga"))
        for stream in streams[::7]:
            await record(store, stream, Weighed(1), Weighed(2))
        whole = 700 + 2 * 100
        for target in (200, 400, 600):
            with subprocess.Popen(
                [
                    sys.executable, "-m", "tests.projections.worker_process",
                    store.address.url, namespace, ",".join(s.id for s in streams[::7]),
                ],
                cwd=ROOT,
            ) as process:  # fmt: skip
                await until_applied(store, target)
                os.kill(process.pid, signal.SIGKILL)
        assert sum(x.position for x in await status(store, tally)) < whole
        assert await parked_sequences(store, tally) != []
        async with working(store, model, QUICK):
            await wait_until_caught_up(store, tally, timeout_s=30)
            for found in await parked_sequences(store, tally):
                with suppress(NotParked):  # the worker may be faster
                    assert (await retry(store, tally, found.stream)).outcome == "applied"
        assert await parked_sequences(store, tally) == []
        for partition in PARTITIONS:
            assert await view(store, partition) == await folded(store, partition)


async def test_a_rebuild_gives_the_same_bytes_with_parked_and_skipped_events(
    store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for stream in STREAMS:
        await record(store, stream, Sent("Riga"), *[Weighed(n) for n in range(5)])
    monkeypatch.setattr(Tally, "broken", frozenset({"1", "2"}))
    async with working(store, model, WorkerSettings(lease_ms=3_000, poll_ms=50, attempts=1)):
        await wait_until_caught_up(store, tally)
        await skip(store, tally, parcel(1), "no")
        await skip(store, tally, parcel(1), "no again")
        monkeypatch.setattr(Tally, "broken", frozenset({"2"}))
        await skip(store, tally, parcel(1), "and no")
    assert len(await skipped_events(store, tally)) == 3
    live = [await view(store, n) for n in PARTITIONS]
    before = {x.stream: x.note for x in await parked_sequences(store, tally)}
    assert before.keys() == {parcel(2)}

    report = await rebuild(store, tally)

    assert report.parked == 1
    assert [await view(store, n) for n in PARTITIONS] == live
    assert {x.stream: x.note for x in await parked_sequences(store, tally)} == before
