"""Reading the generation of a view that is live, without a round trip to find out which it is."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from itertools import islice
from typing import ClassVar, Literal, Protocol, TypeGuard, TypeVar

from whence.projections.generations import (
    Generations,
    generations_command,
    parse_generations,
)
from whence.projections.projection import Projector
from whence.store.eventstore import EventStore
from whence.store.wire import Command, Reply

T = TypeVar("T")


class Named(Protocol):
    """What keeps its place in the log under a name: a projection, or a reaction.

    A reaction has no generations: it is read as it is.
    """

    kind: ClassVar[Literal["projection", "reaction"]]
    name: ClassVar[str]


class _Moved(Exception):
    """Another generation is live than the one that was read."""


class Source:
    """One generation of a view, for as long as it is live; ``projection`` stands for it.

    ``generations`` is what was known at the last round trip, None before the first one and where a
    reader wants a certain generation, live or not.
    """

    def __init__(self, store: EventStore, projection: Named) -> None:
        self.store = store
        self.generations: Generations | None = None
        self.projection = assumed(projection)
        self._asked = projection

    async def ask_many(self, commands: Sequence[Command]) -> list[Reply]:
        """``EventStore.ask_many``; what is live is asked with it, behind all others.

        So on one server the generation was live after it was read, and nothing of it had been
        dropped. In a Cluster there is no such order, and who drops a generation waits instead.
        """
        if not _follows(self._asked):
            return await self.store.ask_many(commands)
        *replies, flat = await self.store.ask_many(
            [*commands, generations_command(self.store.keys, self._asked.name)]
        )
        self.generations = parse_generations(flat)
        if has_moved(self._asked, self.projection, flat):
            raise _Moved
        return replies


def _follows(projection: Named) -> TypeGuard[Projector]:
    """Whether it stands for whichever generation is live."""
    return isinstance(projection, Projector) and projection.number is None


def assumed(projection: Named) -> Named:
    """The generation that was live when this process looked last, or the one that it stands for."""
    return projection.generation(projection.last_live) if _follows(projection) else projection


def has_moved(projection: Named, used: Named, reply: Sequence[bytes]) -> bool:
    """Whether another generation is live than the one that was ``used``; it is assumed from now on.

    ``reply`` is that to ``generations_command``.
    """
    if not _follows(projection):
        return False
    projection.last_live = parse_generations(reply).live
    return projection.generation(projection.last_live).name != used.name


async def of_live(
    store: EventStore, projection: Named, read: Callable[[Source], Awaitable[T]]
) -> T:
    """What ``read`` makes of the live generation, all of it of one and the same.

    It runs again when another generation has become live meanwhile. Raises whatever it raises.
    """
    while True:
        try:
            return await read(Source(store, projection))
        except _Moved:
            continue


async def of_each(
    store: EventStore,
    projections: Iterable[Named],
    commands: Callable[[Named], list[Command]],
    *,
    then: Sequence[Command] = (),
) -> tuple[dict[Named, list[Reply]], list[Reply]]:
    """The replies to the commands for the live generation of each, and to those that follow.

    In one round trip, unless another generation has become live; then those are asked again.

    Raises:
        StoreUnavailable, ServerRefused: the server cannot be read.
        CorruptStore: what is known of the generations cannot be read.
    """
    wanted = list(dict.fromkeys(projections))
    found: dict[Named, list[Reply]] = {one: [] for one in wanted}
    while True:
        asked = [(one, generation := assumed(one), commands(generation)) for one in wanted]
        lives = [generations_command(store.keys, one.name) for one in wanted]
        every = [command for *_, own in asked for command in own]
        replies = iter(await store.ask_many([*every, *then, *lives]))
        for one, _, own in asked:
            found[one] = list(islice(replies, len(own)))
        last = list(islice(replies, len(then)))
        wanted = [one for one, generation, _ in asked if has_moved(one, generation, next(replies))]
        if not wanted:
            return found, last
