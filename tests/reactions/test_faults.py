"""Workers that die, sleep or hear nothing: in the end each effect is there, and is there once."""

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

import anyio
import pytest

from tests.faults.proxy import proxy_to
from tests.reactions.domain import (
    QUICK,
    Clerk,
    Deadlines,
    Ticket,
    TicketTouched,
    clerk,
    deadlines,
    domain,
    entries,
    handled,
    named,
    reacting,
    until,
)
from whence import Recorded, Runtime
from whence.projections.status import owner_counts
from whence.reactions import Reaction, Then, reacts
from whence.reactions.checkpoint import Checkpoints
from whence.reactions.status import timer_counts
from whence.store.embedded import EmbeddedServer
from whence.store.eventstore import EventStore, open_store
from whence.store.ids import StreamId

ROOT = Path(__file__).parents[2]
TICKETS = [str(number) for number in range(30)]


@pytest.fixture
async def store(valkey: EmbeddedServer, namespace: str) -> AsyncIterator[EventStore]:
    async with open_store(valkey.url, namespace=namespace, partitions=4) as store:
        yield store


@pytest.fixture
async def runtime(store: EventStore) -> AsyncIterator[Runtime]:
    async with Runtime(store, domain.write_model) as runtime:
        yield runtime


@contextmanager
def working(store: EventStore, where: str) -> Generator[subprocess.Popen[bytes]]:
    """A worker process that dies where it is told to, and at the end in any case."""
    command = [sys.executable, "-m", "tests.reactions.worker_process"]
    with subprocess.Popen(
        [*command, store.address.url, store.keys.namespace, where], cwd=ROOT
    ) as process:
        try:
            yield process
        finally:
            process.kill()


async def ended(process: subprocess.Popen[bytes]) -> None:
    with anyio.fail_after(30):
        while process.poll() is None:
            await anyio.sleep(0.01)
    assert process.returncode == -signal.SIGKILL


async def begun(store: EventStore) -> None:
    """Both reactions have their places, and no worker has them."""
    wire = store.address.wire()
    for reaction in (clerk, deadlines):
        await Checkpoints(store, reaction.name, wire).begin_now()
    await wire.close()


async def timers_gone(store: EventStore) -> None:
    with anyio.fail_after(30):
        while sum(await timer_counts(store, deadlines)):
            await anyio.sleep(0.01)


async def versions(store: EventStore, kind: str) -> dict[str, int]:
    return {id_: await store.head(StreamId(kind, id_)) for id_ in TICKETS}


class TestAKilledWorker:
    @pytest.mark.parametrize("where", ["sent", "committed"])
    async def test_sends_no_command_twice_and_leaves_none_out(
        self, store: EventStore, runtime: Runtime, where: str
    ) -> None:
        await begun(store)
        for id_ in TICKETS:
            await runtime.send(Ticket.begin, id_, minutes=60.0)
            await runtime.send(Ticket.touch, id_)
        for _ in range(3):
            with working(store, where) as process:
                await ended(process)
        async with reacting(store, Clerk, Deadlines):
            await handled(store, clerk)
            await handled(store, deadlines)
        for id_ in TICKETS:
            assert await entries(runtime, id_) == ("1", "2")
        assert sum(await timer_counts(store, deadlines)) == len(TICKETS)

    async def test_fires_no_timer_twice_and_leaves_none_out(
        self, store: EventStore, runtime: Runtime
    ) -> None:
        await begun(store)
        for id_ in TICKETS:
            await runtime.send(Ticket.begin, id_, minutes=0.0)
        for _ in range(2):
            with working(store, "fired") as process:
                await ended(process)
        async with reacting(store, Deadlines):
            await handled(store, deadlines)
            await timers_gone(store)
        assert await versions(store, "ticket") == dict.fromkeys(TICKETS, 2)

    async def test_two_workers_fire_each_timer_once(
        self, store: EventStore, runtime: Runtime
    ) -> None:
        await begun(store)
        with working(store, "never"), working(store, "never"):
            for id_ in TICKETS:
                await runtime.send(Ticket.begin, id_, minutes=0.002)
            await handled(store, deadlines)
            await timers_gone(store)
        assert await versions(store, "ticket") == dict.fromkeys(TICKETS, 2)


class TestAWorkerThatSleeps:
    async def test_longer_than_its_lease_changes_nothing_when_it_wakes_up(
        self, store: EventStore, runtime: Runtime
    ) -> None:
        await begun(store)
        with working(store, "never") as process:
            for id_ in TICKETS:
                await runtime.send(Ticket.begin, id_, minutes=0.0)
            await until(store, lambda found: sum(part.position for part in found) > 3, clerk)
            os.kill(process.pid, signal.SIGSTOP)
            async with reacting(store, Clerk, Deadlines, settings=QUICK):
                await handled(store, clerk)
                await handled(store, deadlines)
                await timers_gone(store)
                os.kill(process.pid, signal.SIGCONT)
                for id_ in TICKETS:
                    await runtime.send(Ticket.touch, id_)
                await handled(store, clerk)
                await handled(store, deadlines)
        for id_ in TICKETS:
            found = await entries(runtime, id_)
            assert sorted(found) == sorted(set(found))
            assert {"1", "3"} <= set(found)
        assert await versions(store, "ticket") == dict.fromkeys(TICKETS, 3)


class Restless(Reaction):
    """Each touch of a ticket leads to the next one, so no partition is ever quiet."""

    rests: ClassVar[bool] = False

    @reacts(TicketTouched)
    def touched(self, event: TicketTouched, record: Recorded, then: Then) -> None:
        if not self.rests:
            then.send(Ticket.touch, record.id)


class TestAWorkerThatIsNeverDone:
    async def test_gives_a_second_one_its_half(
        self, store: EventStore, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        half = store.keys.partitions // 2
        async with reacting(store, Restless):
            for id_ in TICKETS:
                await runtime.send(Ticket.touch, id_)
            async with reacting(store, Restless):
                await until(
                    store,
                    lambda found: sorted(owner_counts(found).values()) == [half, half],
                    named(Restless),
                )
                monkeypatch.setattr(Restless, "rests", True)
                await handled(store, named(Restless))


class TestALostReply:
    @pytest.mark.parametrize("mark", [b":feed", b"committed", b"acquired", b"due", b"removed"])
    async def test_neither_loses_nor_repeats_an_effect(
        self, valkey: EmbeddedServer, namespace: str, mark: bytes
    ) -> None:
        async with (
            open_store(valkey.url, namespace=namespace, partitions=4) as direct,
            proxy_to(valkey.url) as proxy,
            open_store(proxy.url, namespace=namespace) as store,
            Runtime(direct, domain.write_model) as runtime,
            Runtime(store, domain.write_model) as theirs,
        ):
            await begun(direct)
            chances = iter([True, False, False, True, False, True])
            proxy.lose_reply = lambda chunk: mark in chunk and next(chances, False)
            async with reacting(store, Clerk, Deadlines, runtime=theirs):
                for id_ in TICKETS:
                    await runtime.send(Ticket.begin, id_, minutes=0.0)
                await handled(direct, clerk)
                await handled(direct, deadlines)
                await timers_gone(direct)
            assert proxy.lost >= 1
            for id_ in TICKETS:
                assert (await entries(runtime, id_))[0] == "1"
                assert len(await entries(runtime, id_)) == 1
            assert await versions(direct, "ticket") == dict.fromkeys(TICKETS, 2)


class TestAServerThatRestarts:
    async def test_keeps_its_timers(self, tmp_path: Path) -> None:
        server = EmbeddedServer.start(tmp_path / "data")
        try:
            async with (
                open_store(server.url, partitions=4) as store,
                Runtime(store, domain.write_model) as runtime,
                reacting(store, Deadlines),
            ):
                await runtime.send(Ticket.begin, "1", minutes=60.0)
                await runtime.send(Ticket.begin, "2", minutes=0.02)
                await handled(store, deadlines)
                await anyio.to_thread.run_sync(server.stop)
                server = await anyio.to_thread.run_sync(EmbeddedServer.start, tmp_path / "data")
                with anyio.fail_after(30):
                    while sum(await timer_counts(store, deadlines)) > 1:
                        await anyio.sleep(0.01)
                assert (await runtime.get(Ticket, "2")).state.reason == "late"
                assert (await runtime.get(Ticket, "1")).state.open
        finally:
            server.stop()


class TestALongTimeLater:
    async def test_a_command_that_is_no_longer_remembered_is_found_in_its_aggregate(
        self, store: EventStore
    ) -> None:
        """The runtime remembers command ids for a day; the worker was away for longer."""
        async with Runtime(store, domain.write_model, remember_for=0.001) as forgetful:
            await begun(store)
            for id_ in TICKETS:
                await forgetful.send(Ticket.begin, id_, minutes=60.0)
            async with reacting(store, Clerk, runtime=forgetful):
                await handled(store, clerk)
            # As if its last commits had never been made.
            for number in range(store.keys.partitions):
                await store.ask_many([("DEL", store.keys.checkpoint(number, "clerk"))])
            assert not [
                key
                for (keys,) in (await store.replies_of_each(("KEYS", "*:cmd:*"))).values()
                for key in keys
                if store.keys.namespace.encode() in key
            ]

            class Again(Clerk, name="clerk", start="beginning"):
                pass

            async with reacting(store, Again, runtime=forgetful) as worker:
                await handled(store, clerk)
            assert worker.counts()["clerk"].repeated == len(TICKETS)
            for id_ in TICKETS:
                assert await entries(forgetful, id_) == ("1",)


class TestACluster:
    async def test_reactions_and_timers_work_there_too(
        self, cluster_url: str, namespace: str
    ) -> None:
        async with (
            open_store(cluster_url, namespace=namespace, partitions=8) as store,
            Runtime(store, domain.write_model) as runtime,
            reacting(store, Clerk, Deadlines, runtime=runtime),
        ):
            for id_ in TICKETS:
                await runtime.send(Ticket.begin, id_, minutes=0.0)
            await handled(store, clerk)
            await handled(store, deadlines)
            await timers_gone(store)
            assert await versions(store, "ticket") == dict.fromkeys(TICKETS, 2)
            assert await versions(store, "book") == dict.fromkeys(TICKETS, 1)
