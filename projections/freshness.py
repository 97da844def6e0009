"""Reading one's own writes: waiting until a view has applied a position of the log."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

from whence.projections.generations import generations_command
from whence.projections.live import assumed, has_moved
from whence.projections.notes import parse_notes
from whence.projections.projection import Projector
from whence.store.errors import EventParked, InvalidInput, ViewBehind, WhenceError
from whence.store.eventstore import EventStore
from whence.store.feed import Pointer, parse_pointers
from whence.store.ids import entry_id
from whence.store.wire import Command

# Seconds that a view has to come to a position.
WAIT_WITHIN = 5.0
# Seconds between two looks: a quarter of the time that the youngest one has waited, within bounds.
# So nobody waits a quarter longer than the view took, and a view that stands still costs little.
_SHORTEST = 0.0005
_LONGEST = 0.05
_SHARE = 0.25


class LogPosition(NamedTuple):
    """A place in the log: what a command answers, and what a view is asked to have applied."""

    partition: int
    position: int

    def __str__(self) -> str:
        return f"{self.partition}:{self.position}"


class _Waiter:
    """Somebody who waits for one position of one view."""

    def __init__(self, projection: Projector, at: LogPosition) -> None:
        self.projection = projection
        self.at = at
        self.since = time.monotonic()
        self.reached = 0
        # Its result: whether anything is parked there.
        self.future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()


class Freshness:
    """Lets callers wait for views. One for a process: all who wait share each look.

    A look is one round trip, and there is one at a time, for however many wait. Nothing is sent by
    the workers, so nothing can be lost.
    """

    def __init__(self, store: EventStore) -> None:
        self._store = store
        self._waiters: set[_Waiter] = set()
        self._arrival = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def busy(self) -> bool:
        """Whether anybody waits."""
        return self._task is not None

    async def caught_up(
        self,
        projection: Projector,
        *positions: LogPosition,
        timeout_s: float = WAIT_WITHIN,
    ) -> None:
        """Return when the events at these positions have taken effect in a view.

        An event that was skipped counts: the view does without it by somebody's decision.

        Raises:
            InvalidInput: the store has no such partition; ``field`` is "position".
            ViewBehind: the view has not come so far within ``timeout_s`` seconds.
            EventParked: it has, but one of these events waits, parked, for a person.
            StoreUnavailable, ServerRefused: the server cannot be read.
        """
        for at in positions:
            if not 0 <= at.partition < self._store.keys.partitions:
                last = self._store.keys.partitions - 1
                raise InvalidInput(
                    f"there is no partition {at.partition}: this store has 0 to {last}",
                    field="position",
                )
        waiters = [_Waiter(projection, at) for at in positions]
        self._waiters.update(waiters)
        self._arrival.set()
        if self._task is None:
            self._task = asyncio.create_task(self._work())
        try:
            async with asyncio.timeout(timeout_s):
                parked = [await waiter.future for waiter in waiters]
        except TimeoutError:
            # The one that was awaited has been cancelled with the task's own wait.
            unfinished = (w for w in waiters if w.future.cancelled() or not w.future.done())
            late = next(unfinished, waiters[-1])  # an answer may come in the same moment
            raise ViewBehind(projection.name, *late.at, late.reached, timeout_s) from None
        finally:
            self._leave(waiters)
        for waiter, any_parked in zip(waiters, parked, strict=True):
            if any_parked:
                await self._check_parked(assumed(projection).name, waiter.at)

    def _leave(self, waiters: Sequence[_Waiter]) -> None:
        self._waiters.difference_update(waiters)
        for waiter in waiters:
            if not waiter.future.cancel() and not waiter.future.cancelled():
                waiter.future.exception()  # or asyncio complains that nobody has looked at it
        self._arrival.set()  # if these were the last ones, there is nothing to look for

    async def _work(self) -> None:
        """Look as long as anybody waits."""
        try:
            while self._waiters:
                self._arrival.clear()
                if not await self._look(list(self._waiters)):
                    continue
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._pause()):
                        await self._arrival.wait()
        finally:
            self._task = None

    def _pause(self) -> float:
        now = time.monotonic()
        youngest = min((now - waiter.since for waiter in self._waiters), default=0.0)
        return min(max(_SHORTEST, youngest * _SHARE), _LONGEST)

    async def _look(self, waiters: Sequence[_Waiter]) -> bool:
        """Look once; False if another generation of a view is live, and has to be looked at."""
        keys = self._store.keys
        places = list(dict.fromkeys((waiter.projection, waiter.at.partition) for waiter in waiters))
        used = {projection: assumed(projection) for projection, _ in places}
        commands: list[Command] = []
        for projection, number in places:
            name = used[projection].name
            # In this order: what is not parked after the view has come there is in the view.
            commands.append(("HGET", keys.checkpoint(number, name), "position"))
            commands.append(("HLEN", keys.parked(number, name)))
        # Last: what they have passed, the generation that is live then has passed as well.
        commands += [generations_command(keys, projection.name) for projection in used]
        try:
            replies = await self._store.ask_many(commands)
        except WhenceError as error:
            for waiter in waiters:
                if not waiter.future.done():
                    waiter.future.set_exception(error)
            self._waiters.difference_update(waiters)
            return True
        end = 2 * len(places)
        pairs = zip(replies[:end:2], replies[1:end:2], strict=True)
        seen = dict(zip(places, pairs, strict=True))
        lives = zip(used.items(), replies[end:], strict=True)
        moved = {
            projection for (projection, of), reply in lives if has_moved(projection, of, reply)
        }
        for waiter in waiters:
            position, parked = seen[waiter.projection, waiter.at.partition]
            if waiter.projection in moved:
                continue
            waiter.reached = int(position or 0)
            if waiter.reached >= waiter.at.position:
                self._waiters.discard(waiter)
                if not waiter.future.done():
                    waiter.future.set_result(parked > 0)
        return not moved

    async def _check_parked(self, name: str, at: LogPosition) -> None:
        """Raises EventParked if the event at a position that the view has passed is not in it."""
        if not at.position:
            return
        keys, entry = self._store.keys, entry_id(at.position)
        found = parse_pointers(
            await self._store.ask("XRANGE", keys.feed(at.partition), entry, entry)
        )
        for pointer in found:
            if await self._waits(name, pointer, at.partition):
                raise EventParked(name, *at, pointer.stream, pointer.version)

    async def _waits(self, name: str, pointer: Pointer, partition: int) -> bool:
        stream = str(pointer.stream)
        note = await self._store.ask("HGET", self._store.keys.parked(partition, name), stream)
        if note is None:
            return False
        ((_, parsed),) = parse_notes([stream.encode(), note]).values()
        return parsed.version <= pointer.version
