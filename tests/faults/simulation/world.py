"""A simulation from its plan to its verdict."""

import asyncio
import itertools
import logging
import random
import traceback
from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple

from msgspec.structs import replace

from tests.faults.checker import check
from tests.faults.history import History, MemoryRecorder
from tests.faults.log import Log, log_of
from tests.faults.simulation.clock import WallClock, virtual, without_collections
from tests.faults.simulation.host import Host
from tests.faults.simulation.lives import command, opened, rebuild_once, work
from tests.faults.simulation.loop import Stuck, VirtualLoop
from tests.faults.simulation.network import Network
from tests.faults.simulation.plan import LEASE_MS, Mishap, Plan
from tests.faults.simulation.rates import CALM
from tests.faults.simulation.rollback import roll_back, standings
from tests.faults.simulation.server import Server
from tests.faults.simulation.view import Mending, differences, new_read_model
from whence.projections.query import find
from whence.projections.status import PartitionStatus, status
from whence.store.eventstore import EventStore

# Seconds of virtual time: for all commands, then for the views, and for the workers to leave. A
# server's clock jumps back by two minutes at most, and a lease of the dead lives as much longer.
COMMANDS_WITHIN = 600.0
VIEWS_WITHIN = 240.0
FAREWELL = 30.0
# From the last command until a view is mended, and from then on until the network is good.
UNMENDED, TROUBLED = 2.0, 12.0
OFTEN_LATE = 0.1
# Between two looks whether something has come about; of a rollback, which is about a moment.
LOOK = 0.25
OFTEN = 0.01
# From the last pause until what a worker had in hand before it is done.
IN_HAND = 1.0
# How long the server is away when its log is rolled back.
OUTAGE = 0.2


class Verdict(NamedTuple):
    """What a simulation has come to.

    Attributes:
        wrong: broken promises, as sentences with their evidence; empty if all is well.
        kinds: what kinds of them there are.
        faults: how often each fault happened.
        seconds: of virtual time.
        trace: a number that two runs of one plan have in common.
    """

    wrong: list[str]
    kinds: frozenset[str]
    faults: dict[str, int]
    attempts: int
    events: int
    seconds: float
    trace: int


class World:
    """The server, the network and the processes of one plan."""

    def __init__(self, plan: Plan, server: Server) -> None:
        self.plan = plan
        self.server = server
        chance = random.Random(f"{plan.chance} network")
        self.network = Network(self.server, chance, plan.rates)
        order = random.Random(f"{plan.chance} order")
        self.loop = VirtualLoop(order, self.network, shuffled=plan.shuffled)  # type: ignore[abstract]
        self.clock = WallClock(self.loop)
        self.recorders: list[list[MemoryRecorder]] = [[] for _ in range(plan.commanders)]
        self.commanders = [Host("") for _ in range(plan.commanders)]
        self.workers = [Host("") for _ in range(plan.workers)]
        self.working: dict[int, asyncio.Task[Any]] = {}
        self.commanding: dict[int, asyncio.Task[Any]] = {}
        self.rebuilding: list[asyncio.Task[Any]] = []
        self.failures: list[str] = []
        self.mending = Mending() if plan.parks else None
        self.tally = new_read_model(self.mending).projection("tally")
        self.trace = 0

    # Processes

    def start_commander(self, slot: int) -> None:
        recorders = self.recorders[slot]
        self.commanders[slot] = host = Host(f"commander {slot}.{len(recorders)}")
        self.commanding[slot] = self.loop.spawn(
            host, self._kept(command(self.plan, slot, len(recorders), recorders))
        )

    def start_worker(self, slot: int) -> None:
        self.workers[slot] = host = Host(f"worker {slot}")
        self.working[slot] = self.loop.spawn(host, self._kept(work(self.plan, self.mending)))

    async def _kept(self, life: Coroutine[Any, Any, None]) -> None:
        """A process that ends with an error is a finding."""
        try:
            await life
        except Exception as error:  # whatever it is
            lines = "".join(traceback.format_exception(error))
            self.failures.append(f"crashed: a process ended with {error!r}\n{lines}")

    # What goes wrong

    async def mishaps(self) -> None:
        for mishap in self.plan.mishaps:
            await asyncio.sleep(max(0.0, mishap.at - self.loop.time()))
            self.network.faults[mishap.kind] = self.network.faults.get(mishap.kind, 0) + 1
            self._befall(mishap)

    def _befall(self, mishap: Mishap) -> None:
        work = mishap.kind.endswith("worker")
        hosts = self.workers if work else self.commanders
        start = self.start_worker if work else self.start_commander
        match mishap.kind:
            case "kill commander" | "kill worker":
                self._kill(hosts, start, mishap.number, mishap.length)
            case "pause commander" | "pause worker":
                hosts[mishap.number].paused_until = self.loop.time() + mishap.length
            case "restart server":
                self._restart(mishap.length)
            case "forget scripts":
                self.server.forget_scripts()
            case "jump clock":
                self.clock.skew += mishap.length
            case "rebuild":
                rebuilding = self._kept(rebuild_once(self.plan, self.mending))
                self.rebuilding.append(self.loop.spawn(Host("rebuild"), rebuilding))
            case "roll back":
                self._when_seen(mishap.number, mishap.length)

    def _kill(
        self, hosts: list[Host], start: Callable[[int], None], number: int, seconds: float
    ) -> None:
        """kill -9, and the next life of the process some seconds later."""
        host = hosts[number]
        if not host.dead:  # else it is about to be started already
            host.dead = True
            self.network.bury(host)
            self.loop.call_later(seconds, start, number)

    def _restart(self, seconds: float) -> None:
        """Away for the first half of the time, and loading its data in the second."""
        self.server.down = self.server.loading = True
        self.network.cut_all()
        self.server.forget_scripts()
        self.loop.call_later(seconds / 2, setattr, self.server, "down", False)
        self.loop.call_later(seconds, setattr, self.server, "loading", False)

    def _when_seen(self, events: int, seconds: float, looked_at: int = -1) -> None:
        """Roll the log back once the views have so many events, which may never be.

        Args:
            looked_at: how many commands had written anything when the views had fewer.
        """
        writes = self.server.writes
        if writes != looked_at and self._seen() >= events:
            self._roll_back(seconds)
        elif not self._all_commanded():
            self.loop.call_later(OFTEN, self._when_seen, events, seconds, writes)

    def _seen(self) -> int:
        """How many events the views have."""
        return sum(each.position for each in standings(self.server))

    def _roll_back(self, seconds: float) -> None:
        """The log loses its newest events; the views, as in another database, do not."""
        for slot in range(self.plan.commanders):
            self._kill(self.commanders, self.start_commander, slot, OUTAGE)
        for slot in range(self.plan.workers):
            self._kill(self.workers, self.start_worker, slot, OUTAGE + seconds)
        self._restart(OUTAGE)
        roll_back(self.server, self.network.chance)

    # From the beginning to the end

    async def run(self) -> tuple[Log, list[str]]:
        """The log at the end, and what is wrong with the view."""
        for slot in range(self.plan.commanders):
            self.start_commander(slot)
        for slot in range(self.plan.workers):
            self.start_worker(slot)
        trouble = self.loop.create_task(self.mishaps())
        await trouble
        await self._until(self._all_up, COMMANDS_WITHIN, "the processes come back")
        await self._until(self._all_commanded, COMMANDS_WITHIN, "the commands end")
        if self.mending is not None:
            await asyncio.sleep(UNMENDED)
            self.mending.done = True
            # Nobody moves the feed on any more: what comes late is fenced by its epoch alone.
            self.network.rates = replace(self.plan.rates, late=OFTEN_LATE)
            await asyncio.sleep(TROUBLED)
        self.network.rates = CALM
        async with opened(self.plan) as store:
            halted = await self._settled(store)
            self.trace = self.network.chance.getrandbits(32) ^ self.loop.steps
            for task in self.working.values():
                task.cancel()
            await asyncio.wait(self.working.values(), timeout=FAREWELL)
            page = await find(store, self.tally, limit=1_000)
            log = await log_of(store)
            silent = [number for number in range(self.plan.partitions) if number not in halted]
            return log, differences(dict(page.rows), log, store.keys, silent)

    def _all_commanded(self) -> bool:
        return all(task.done() for task in [*self.commanding.values(), *self.rebuilding])

    def _all_up(self) -> bool:
        """Nobody is to be started yet."""
        dead = any(host.dead for host in [*self.commanders, *self.workers])
        return not (dead or self.server.loading)

    async def _until(self, condition: Callable[[], bool], seconds: float, what: str) -> None:
        give_up = self.loop.time() + seconds
        while not condition():
            if self.loop.time() > give_up:
                raise Stuck(f"{what}: not within {seconds} s")
            await asyncio.sleep(LOOK)

    async def _settled(self, store: EventStore) -> list[int]:
        """Wait until each partition is at the head of its feed or says why not."""
        if self.plan.rolls_back:
            # A view may stand at the new head by chance, until a worker has looked at its anchor.
            await asyncio.sleep(3 * LEASE_MS / 1000)
        # What was sent before all was calm may still come, an event too, or its sender is paused;
        # and what comes when all is done shows what nobody mends any more.
        await self._at_head(store)
        self.network.hurry()
        quiet_at = max(self.network.quiet_at, *(host.paused_until for host in self.workers))
        await asyncio.sleep(max(0.0, quiet_at - self.loop.time()) + IN_HAND)
        found = await self._at_head(store)
        if not self.plan.rolls_back:
            self.failures += [f"halted: {each.failure}" for each in found if each.failure]
        return [each.partition for each in found if each.failure]

    async def _at_head(self, store: EventStore) -> list[PartitionStatus]:
        give_up = self.loop.time() + VIEWS_WITHIN
        behind: list[PartitionStatus] = []
        looked_at = -1  # how many commands had written anything that lasts
        while True:
            if self.server.writes != looked_at:
                looked_at = self.server.writes
                found = await status(store, self.tally)
                # Ahead of a log that was rolled back is not at its head either.
                behind = [
                    each
                    for each in found
                    if (each.position != each.head or each.parked) and not each.failure
                ]
                if not behind:
                    return found
            if self.loop.time() > give_up:
                raise Stuck(f"a view does not come to the head of the log: {behind}")
            await asyncio.sleep(LOOK)

    def history(self) -> History:
        history = History([], [])
        for recorder in itertools.chain.from_iterable(self.recorders):
            attempts, reads = recorder.history()
            history.attempts.extend(attempts)
            history.reads.extend(reads)
        return history


def simulate(plan: Plan, server: Server | None = None) -> Verdict:
    """Run a plan; the same plan has the same verdict, whenever and wherever it is run.

    Args:
        server: one that is to be used for this and nothing else.
    """
    logging.disable(logging.CRITICAL)
    try:
        # Around all of it: garbage is found in half the time when the world is gone.
        with without_collections():
            return _simulated(World(plan, server or Server()))
    finally:
        logging.disable(logging.NOTSET)


def _simulated(world: World) -> Verdict:
    plan = world.plan
    wrong: list[str] = []
    kinds: set[str] = set()
    events = 0
    with virtual(world.loop, world.clock, random.Random(f"{plan.chance} dice")):
        try:
            log, differing = world.loop.run_until_complete(world.run())
        except Stuck as stuck:
            wrong.append(f"stuck: {stuck}")
        else:
            events = sum(map(len, log.streams.values()))
            wrong += differing
            for found in check(world.history(), log) if not plan.rolls_back else ():
                kinds.add(found.kind)
                wrong.append(str(found))
        seconds = world.loop.time()
        world.network.cut_all()
        world.loop.finish()
    wrong += world.failures + world.loop.errors
    kinds |= {sentence.partition(":")[0] for sentence in wrong}
    attempts = len(world.history().attempts)
    faults = world.network.faults
    return Verdict(wrong, frozenset(kinds), faults, attempts, events, seconds, world.trace)
