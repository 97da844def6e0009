"""The live actors of a process, and which of them are let go: by idle time, count and bytes."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import NamedTuple

from whence.actors.actor import Actor
from whence.actors.footprint import footprint
from whence.actors.metrics import Meters, TypeMetrics
from whence.actors.model import AggregateType
from whence.store.ids import StreamId

# Seconds an actor may be idle, how many may be live, and the bytes that they may take.
IDLE_FOR = 300.0
MAX_ACTORS = 100_000
MAX_BYTES = 256_000_000
# What a live actor takes beside its state: measured, see ARCHITECTURE.md.
ACTOR_BYTES = 600
# How many busy actors are passed over to find an idle one.
MAX_LOOKS = 16
# Seconds between two looks for idle actors, and how many of them go before others have a turn.
SWEEP_EVERY = 5.0
MAX_SWEPT = 1_000


class Limits(NamedTuple):
    """When actors are passivated.

    Attributes:
        actors: how many may be live.
        bytes: what they and their states may take (an estimate).
        idle_for: seconds after which an idle one goes.
    """

    actors: int = MAX_ACTORS
    bytes: int = MAX_BYTES
    idle_for: float = IDLE_FOR


class LiveActors:
    """Makes actors when they are needed, and lets those go that were used longest ago.

    To passivate an actor is to forget it: all it holds is in the log. Only idle ones go, and
    nothing is awaited between finding an actor and giving it something to do, so no command is
    lost. Busy ones stay, and a burst may exceed the limits while it lasts.

    Args:
        make: a new actor; it has to call ``weigh`` when it falls idle.
    """

    def __init__(
        self, make: Callable[[AggregateType, StreamId], Actor], limits: Limits, meters: Meters
    ) -> None:
        self._make = make
        self._limits = limits
        self._meters = meters
        self._bytes = 0
        # In the order of their last use: the first is the next to go. In a plain dict, finding the
        # first one takes the longer the more of them went before.
        self._actors: OrderedDict[tuple[str, str], Actor] = OrderedDict()

    def __len__(self) -> int:
        return len(self._actors)

    def __iter__(self) -> Iterator[Actor]:
        return iter(self._actors.values())

    def peek(self, stream: tuple[str, str]) -> Actor | None:
        """The live actor of a stream, which may be given as a plain type and id."""
        return self._actors.get(stream)

    def find(self, stream: StreamId) -> Actor | None:
        """``peek``, and it is now the last one to go."""
        actor = self._actors.get(stream)
        if actor is not None:
            self.touch(actor)
        return actor

    def use(self, kind: AggregateType, stream: StreamId) -> Actor:
        """``find``, or a new one."""
        actor = self._actors.get(stream)
        if actor is None:
            self._make_room(coming=1)
            actor = self._actors[stream] = self._make(kind, stream)
            actor.weight = ACTOR_BYTES
            self._bytes += ACTOR_BYTES
        self.touch(actor)
        return actor

    def touch(self, actor: Actor) -> None:
        """It is used, and now the last one to go."""
        actor.last_used = time.monotonic()
        self._actors.move_to_end(actor.stream)

    def weigh(self, actor: Actor) -> None:
        """Estimate what an idle actor takes, again whenever it has half as many events more."""
        if actor.version < actor.weigh_at:
            return
        weight = ACTOR_BYTES + footprint(actor.state)
        self._bytes += weight - actor.weight
        actor.weight = weight
        actor.weigh_at = actor.version + actor.version // 2 + 1
        self._make_room()

    def _make_room(self, coming: int = 0) -> None:
        """Let idle actors go until the limits are kept; those used longest ago are looked at."""
        excess = len(self._actors) + coming - self._limits.actors
        bytes_over = self._bytes - self._limits.bytes
        looks = MAX_LOOKS
        while (excess > 0 or bytes_over > 0) and looks > 0 and self._actors:
            actor = next(iter(self._actors.values()))
            if actor.busy:  # so it is in use
                self.touch(actor)
                looks -= 1
            else:
                self._let_go(actor)
                excess -= 1
                bytes_over -= actor.weight

    def _let_go(self, actor: Actor) -> None:
        del self._actors[actor.stream]
        self._bytes -= actor.weight
        self._meters.types[actor.stream.type].passivations += 1

    async def sweep(self) -> None:
        """Let actors go that have been idle for too long, for ever."""
        while True:
            await asyncio.sleep(min(SWEEP_EVERY, self._limits.idle_for))
            while self._passivate_idle():  # noqa: ASYNC110  # a turn for others, not a wait
                await asyncio.sleep(0)

    def _passivate_idle(self) -> bool:
        """Whether there may be more of them."""
        too_long_ago = time.monotonic() - self._limits.idle_for
        for _ in range(min(MAX_SWEPT, len(self._actors))):
            actor = next(iter(self._actors.values()))
            if actor.last_used > too_long_ago:
                return False
            if actor.busy:
                self.touch(actor)
            else:
                self._let_go(actor)
        return bool(self._actors)

    def clear(self) -> None:
        self._actors.clear()
        self._bytes = 0

    def shown(self) -> dict[str, TypeMetrics]:
        """The metrics of each aggregate type; looks at every actor."""
        count = dict.fromkeys(self._meters.types, 0)
        weight, waiting, fullest = dict(count), dict(count), dict(count)
        for actor in self._actors.values():
            name = actor.stream.type
            count[name] += 1
            weight[name] += actor.weight
            if actor.busy:
                waiting[name] += actor.waiting
                fullest[name] = max(fullest[name], actor.waiting)
        return {
            name: meter.shown(count[name], weight[name], waiting[name], fullest[name])
            for name, meter in self._meters.types.items()
        }
