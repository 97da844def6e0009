"""Worker processes that come and go while events are written, and what they make of them."""

import os
import random
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import anyio

from tests.projections.applied import applied, differences, places_applied, places_logged
from tests.projections.domain import Weighed, parcel, record
from whence.projections.status import owner_counts, status, wait_until_caught_up
from whence.store.errors import OutcomeUnknown, ServerRefused, StoreUnavailable
from whence.store.eventstore import EventStore

_ROOT = Path(__file__).parents[2]
_PATIENCE = 60  # seconds, for a machine with much else to do
_AWAY = (StoreUnavailable, ServerRefused, OutcomeUnknown)
_STREAMS = 60


class Crew:
    """Worker processes of one store, and the events that are written meanwhile.

    Attributes:
        written: how many appends were acknowledged.
        samples: how often the view was looked at.
        wrong: what was not as it should be when it was looked at.
    """

    def __init__(self, store: EventStore, url: str, seed: int) -> None:
        self.written = 0
        self.samples = 0
        self.wrong: list[object] = []
        self._store = store
        self._url = url
        self._seed = seed
        self._chance = random.Random(seed)
        self._processes: dict[int, subprocess.Popen[bytes]] = {}

    # Coming and going

    def hire(self, count: int) -> list[int]:
        """Start workers; their process ids."""
        command = [sys.executable, "-m", "tests.projections.crew_process", self._url]
        command.append(self._store.keys.namespace)
        new = [subprocess.Popen(command, cwd=_ROOT) for _ in range(count)]
        self._processes |= {process.pid: process for process in new}
        return [process.pid for process in new]

    def kill(self, pid: int) -> None:
        os.kill(pid, signal.SIGKILL)
        self._processes.pop(pid).wait(_PATIENCE)

    async def dismiss(self, pid: int) -> None:
        """Ask a worker to end, and wait until it has."""
        process = self._processes.pop(pid)
        process.terminate()
        assert await anyio.to_thread.run_sync(process.wait, _PATIENCE) == 0

    def pause(self, pid: int) -> None:
        os.kill(pid, signal.SIGSTOP)

    def wake(self, pid: int) -> None:
        os.kill(pid, signal.SIGCONT)

    def end(self) -> None:
        for process in self._processes.values():
            process.kill()
            process.wait(_PATIENCE)

    # What they do

    async def until_shared_by(self, pids: list[int]) -> None:
        """Wait until these workers have the partitions, evenly, and move on with them."""
        floor, rest = divmod(self._store.keys.partitions, len(pids))
        even = [floor] * (len(pids) - rest) + [floor + 1] * rest
        shares: dict[int, int] = {}
        try:
            with anyio.fail_after(_PATIENCE):
                while shares.keys() != set(pids) or sorted(shares.values()) != even:
                    await anyio.sleep(0.02)
                    shares = await self._shares() or shares
                await self._until_moved_on()
        except TimeoutError:
            raise AssertionError(f"{shares} is not an even share of {pids}") from None

    async def _shares(self) -> dict[int, int] | None:
        with suppress(*_AWAY):
            owners = owner_counts(await status(self._store, applied))
            return {int(owner.split(":")[-2]): count for owner, count in owners.items()}
        return None

    async def _until_moved_on(self) -> None:
        """So many events are applied that most partitions have seen one since."""
        enough = await self._count() + self._store.keys.partitions
        while await self._count() < enough:
            await anyio.sleep(0.02)

    async def _count(self) -> int:
        while True:
            with suppress(*_AWAY):
                return sum(map(len, (await places_applied(self._store)).values()))
            await anyio.sleep(0.02)

    async def write(self) -> None:
        """Append to parcels at random, until cancelled."""
        while True:
            stream = parcel(self._chance.randrange(_STREAMS))
            new = [Weighed(n) for n in range(self._chance.randrange(1, 4))]
            with suppress(*_AWAY):
                await record(self._store, stream, *new)
                self.written += 1
            await anyio.sleep(0.005)  # the pace of the load

    async def watch(self) -> None:
        """Look at the view: at each moment it is the log as far as it goes, and never goes back."""
        seen: dict[int, int] = {}
        while not self.wrong:
            with suppress(*_AWAY):
                found = await places_applied(self._store)
                self.wrong += differences(found, await places_logged(self._store))
                now = {n: len(places) for n, places in found.items()}
                self.wrong += [(n, length, now[n]) for n, length in seen.items() if now[n] < length]
                seen = now
                self.samples += 1
            await anyio.sleep(0.05)

    async def assert_all_applied_once_and_in_order(self) -> None:
        assert self.wrong == [], f"seed {self._seed}"
        await wait_until_caught_up(self._store, applied, timeout_s=_PATIENCE)
        found, logged = await places_applied(self._store), await places_logged(self._store)
        assert differences(found, logged) == [], f"seed {self._seed}"
        assert {n: len(p) for n, p in found.items()} == {n: len(p) for n, p in logged.items()}
        assert self.written > 0
        assert self.samples > 0


@asynccontextmanager
async def crew_at_work(store: EventStore, url: str, seed: int) -> AsyncGenerator[Crew]:
    """A crew without workers yet, under load and watched; at the end all that is written counts."""
    crew = Crew(store, url, seed)
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(crew.write)
            tasks.start_soon(crew.watch)
            yield crew
            tasks.cancel_scope.cancel()
        await crew.assert_all_applied_once_and_in_order()
    finally:
        crew.end()
