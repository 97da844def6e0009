"""One worker and one view: it follows the generations of it as they come and go."""

import logging
import time

import anyio

from whence.projections.catchup import NEAR, catch_up, follow
from whence.projections.compared import Compared, last_compared
from whence.projections.comparing import Comparing
from whence.projections.generations import Generations, outdated
from whence.projections.projection import Projector
from whence.projections.settings import WorkerSettings
from whence.projections.status import status
from whence.projections.succession import Succession, Switcher
from whence.projections.switching import switch
from whence.projections.wishes import Wish
from whence.store.errors import WhenceError
from whence.store.eventstore import EventStore

log = logging.getLogger("whence.projections")

# Seconds that the last events may take before a switch; then it is tried again at the next look.
_PATIENCE = 5.0
# Seconds for who has given up a generation to delete its keys himself, also in a Cluster.
_SWEEP_AFTER = 30.0


class Keeper:
    """Keeps the live generation of a view up to date, and the one that is being built.

    Only those that its own version of the projection has made: others are left to other code.

    Args:
        owner: names the worker; no other worker has the same.
    """

    def __init__(
        self,
        store: EventStore,
        projection: Projector,
        owner: str,
        settings: WorkerSettings,
    ) -> None:
        self._store = store
        self._projection = projection
        self._owner = owner
        self._settings = settings
        self._succession = Succession(store, projection)
        self._following: dict[int, anyio.CancelScope] = {}
        self._comparing = Comparing(store, projection, owner, settings)
        self._left: dict[int, float] = {}  # readings of time.monotonic(), by generation
        self._said = ""  # what was logged last, until it changes

    async def run(self) -> None:
        """Work until cancelled, through outages of the server."""
        async with anyio.create_task_group() as tasks:
            while True:
                try:
                    found = await self._succession.claim()
                    found = await self._after_change(found)
                    found = await self._granted(found)
                    self._say(outdated(self._projection, found))
                    for number in self._ours(found) - self._following.keys():
                        self._following[number] = scope = anyio.CancelScope()
                        tasks.start_soon(self._follow, number, scope)
                    for number in self._following.keys() - self._ours(found):
                        self._following.pop(number).cancel()
                    wanted = self._comparing.wanted(found)
                    compared = await self._compared(found)
                    if wanted and compared is None and await self._comparing.is_ours(found):
                        tasks.start_soon(self._comparing.run, found)
                    await self._switch(found, compared)
                    await self._sweep(found)
                except WhenceError as error:
                    self._say(f"projection {self._projection.name}: {error}")
                await anyio.sleep(self._settings.poll_ms / 1000)

    async def _follow(self, number: int, scope: anyio.CancelScope) -> None:
        with scope:
            generation = self._projection.generation(number)
            await follow(self._store, generation, self._owner, self._settings)

    def _ours(self, found: Generations) -> set[int]:
        wish = found.wish
        wanted = wish.number if wish is not None and wish.action == "rollback" else None
        return {
            number
            for number in (found.live, found.building, wanted)
            if number is not None and found.revisions.get(number) == self._projection.revision
        }

    async def _granted(self, found: Generations) -> Generations:
        """Do what a person wants, as far as one step does it; the generations after it.

        Which generation goes live is settled in ``_switch``.
        """
        wish = found.wish
        match wish:
            case Wish(action="rebuild", revision=self._projection.revision):
                await self._begin(wish)
            case Wish(action="abandon" | "drop"):
                await self._succession.retire(wish.number)
            case _:
                return found
        by = wish.by or "somebody"
        log.info("projection %s: %s was asked for by %s", self._projection.name, wish.action, by)
        return await self._succession.look()

    async def _after_change(self, found: Generations) -> Generations:
        """Begin a new generation where the code has changed, if so set.

        A version that was live before does not come back by itself: while a release is rolled out,
        workers of the old code still run, and would make the view anew after those of the new one.
        """
        if (
            self._settings.rebuild_on_change
            and found.building is None
            and found.live_revision != self._projection.revision
            and self._projection.revision not in found.was
        ):
            number, _ = await self._succession.begin("worker")
            log.info(
                "projection %s has version %s now: its view is made anew, as generation %d",
                self._projection.name,
                self._projection.revision,
                number,
            )
            return await self._succession.look()
        return found

    async def _begin(self, wish: Wish) -> None:
        switcher: Switcher = "worker" if wish.then == "switch" else "person"
        number, begun = await self._succession.begin(switcher, after=wish.number)
        if wish.then == "compare" and not begun:
            await self._succession.want(Wish("compare", number, wish.by))

    async def _compared(self, found: Generations) -> Compared | None:
        """What was found of the generation that is to be compared, if one is and it was."""
        wish = found.wish
        if wish is None or wish.action != "compare":
            return None
        return await last_compared(self._store, self._projection, wish.number)

    async def _switch(self, found: Generations, compared: Compared | None) -> None:
        """Switch to a generation that nobody has to decide on any more, once it has caught up.

        The worker does it that has its first partition. Another one may do the same: a script lets
        one of them.
        """
        number = _next(found, compared)
        if number not in self._ours(found):
            return
        new = self._projection.generation(number)
        standings = await status(self._store, new)
        if standings[0].owner != self._owner or sum(one.lag for one in standings) > NEAR:
            return
        with anyio.move_on_after(_PATIENCE) as waiting:
            await catch_up(self._store, new, None)
        if waiting.cancelled_caught:
            return
        if await switch(self._store, self._projection, number, self._settings) == number:
            log.info("projection %s: readers see generation %d now", self._projection.name, number)
            await self._succession.sweep()

    async def _sweep(self, found: Generations) -> None:
        """Delete the keys of generations that somebody has given up and was killed."""
        now = time.monotonic()
        self._left = {number: self._left.get(number, now) for number in found.dropping}
        if any(now - since >= _SWEEP_AFTER for since in self._left.values()):
            await self._succession.sweep()

    def _say(self, sentence: str) -> None:
        if sentence and sentence != self._said:
            log.warning("%s", sentence)
        self._said = sentence


def _next(found: Generations, compared: Compared | None) -> int | None:
    """The generation that goes live when it has caught up, if any."""
    wish = found.wish
    if wish is None:
        return found.building if found.switcher == "worker" else None
    if wish.action == "compare":
        return wish.number if compared is not None and compared.agrees else None
    return wish.number if wish.action in {"switch", "rollback"} else None
