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

from tests.projections.applied import (
    Places,
    applied,
    differences,
    places_applied,
    places_logged,
)
from tests.projections.appliedtable import applied_table, places_in_table
from tests.projections.domain import Weighed, appended, parcel
from tests.projections.sqldomain import is_held
from whence.projections.projection import Projector
from whence.projections.status import owner_counts, status, wait_until_caught_up
from whence.store.append import Committed
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

    def __init__(self, store: EventStore, url: str, seed: int, sql_url: str) -> None:
        self.written = 0
        self.samples = 0
        self.wrong: list[object] = []
        self._store = store
        self._sql_url = sql_url
        self._arguments = [url, store.keys.namespace, *([sql_url] if sql_url else [])]
        self._views: list[Projector] = [applied, *([applied_table] if sql_url else [])]
        self._seed = seed
        self._chance = random.Random(seed)
        self._processes: dict[int, subprocess.Popen[bytes]] = {}

    # Coming and going

    def hire(self, count: int) -> list[int]:
        """Start workers; their process ids."""
        command = [sys.executable, "-m", "tests.projections.crew_process", *self._arguments]
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

    async def pause(self, pid: int) -> None:
        """Stop a worker where the others can do without it.

        Stopped within a transaction it would hold a SQLite file, as docs/sql.md says: of that,
        ``pause_within_transaction``.
        """
        await self._pause(pid, within_transaction=False)

    async def pause_within_transaction(self, pid: int) -> None:
        """Stop a worker, the only one at work, while it holds the SQLite file."""
        await self._pause(pid, within_transaction=True)

    async def _pause(self, pid: int, *, within_transaction: bool) -> None:
        with anyio.fail_after(_PATIENCE):
            os.kill(pid, signal.SIGSTOP)
            while await anyio.to_thread.run_sync(is_held, self._sql_url) != within_transaction:
                self.wake(pid)
                await anyio.sleep(self._chance.random() / 50)
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
        for view in self._views:
            await self.until_view_shared_by(view, pids)

    async def until_view_shared_by(self, view: Projector, pids: list[int]) -> None:
        """The same of one view."""
        floor, rest = divmod(self._store.keys.partitions, len(pids))
        even = [floor] * (len(pids) - rest) + [floor + 1] * rest
        shares: dict[int, int] = {}
        moved = "is no even share of"
        try:
            with anyio.fail_after(_PATIENCE):
                while shares.keys() != set(pids) or sorted(shares.values()) != even:
                    await anyio.sleep(0.02)
                    shares = await self._shares(view) or shares
                moved = "stands still under"
                await self._until_moved_on(view)
        except TimeoutError:
            raise AssertionError(f"{view.name}: {shares} {moved} {pids}") from None

    async def _shares(self, view: Projector) -> dict[int, int] | None:
        with suppress(*_AWAY):
            owners = owner_counts(await status(self._store, view))
            return {int(owner.split(":")[-2]): count for owner, count in owners.items()}
        return None

    async def _until_moved_on(self, view: Projector) -> None:
        """So many events are applied that most partitions have seen one since."""
        enough = await self.count(view) + self._store.keys.partitions
        while await self.count(view) < enough:
            await anyio.sleep(0.02)

    async def count(self, view: Projector) -> int:
        """How many events are applied."""
        while True:
            with suppress(*_AWAY):
                return sum(map(len, (await self._places(view)).values()))
            await anyio.sleep(0.02)

    async def _places(self, view: Projector) -> Places:
        if not any(one.position for one in await status(self._store, view)):
            return {}  # and perhaps there is no table yet
        if view is applied_table:
            return await places_in_table(self._sql_url, self._store.keys.partitions)
        return await places_applied(self._store)

    async def write(self) -> None:
        """Append to parcels at random, until cancelled."""
        while True:
            stream = parcel(self._chance.randrange(_STREAMS))
            new = [Weighed(n) for n in range(self._chance.randrange(1, 4))]
            with suppress(*_AWAY):
                outcome = await appended(self._store, stream, *new)
                # An append whose answer was lost may have come in between.
                self.written += isinstance(outcome, Committed)
            await anyio.sleep(0.005)  # the pace of the load

    async def watch(self) -> None:
        """Look at the view: at each moment it is the log as far as it goes, and never goes back."""
        seen: dict[tuple[str, int], int] = {}
        while not self.wrong:
            for view in self._views:
                with suppress(*_AWAY):
                    await self._look(view, seen)
            await anyio.sleep(0.05)

    async def _look(self, view: Projector, seen: dict[tuple[str, int], int]) -> None:
        found = await self._places(view)
        self.wrong += differences(found, await places_logged(self._store))
        for n, places in found.items():
            if len(places) < seen.get((view.name, n), 0):
                self.wrong.append((view.name, n, places))
            seen[view.name, n] = len(places)
        self.samples += 1

    async def assert_all_applied_once_and_in_order(self) -> None:
        assert self.wrong == [], f"seed {self._seed}"
        logged = await places_logged(self._store)
        for view in self._views:
            await wait_until_caught_up(self._store, view, timeout_s=_PATIENCE)
            found = await self._places(view)
            assert differences(found, logged) == [], f"{view.name}, seed {self._seed}"
            assert {n: len(p) for n, p in found.items()} == {n: len(p) for n, p in logged.items()}
        assert self.written > 0
        assert self.samples > 0


@asynccontextmanager
async def crew_at_work(
    store: EventStore, url: str, seed: int, sql_url: str = ""
) -> AsyncGenerator[Crew]:
    """A crew without workers yet, under load and watched; at the end all that is written counts.

    With ``sql_url`` there is a view in that database, beside the one in Redis.
    """
    crew = Crew(store, url, seed, sql_url)
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(crew.write)
            tasks.start_soon(crew.watch)
            yield crew
            tasks.cancel_scope.cancel()
        await crew.assert_all_applied_once_and_in_order()
    finally:
        crew.end()
