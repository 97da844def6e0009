"""Making a view anew beside the one that readers see, and going back to the one before."""

import secrets
import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from whence.projections.anchor import stands_astray
from whence.projections.catchup import Progress, catch_up, followed
from whence.projections.generations import Generations
from whence.projections.projection import Projector
from whence.projections.settings import WorkerSettings
from whence.projections.status import status
from whence.projections.succession import Succession
from whence.projections.switching import switch
from whence.store.errors import NoGeneration, RevisionMismatch
from whence.store.eventstore import EventStore

# Given the live generation and the new one, which has caught up: whether to switch.
Check = Callable[[Projector, Projector], Awaitable[bool]]


class RebuildReport(NamedTuple):
    """What became of a generation.

    It has passed ``events``, this call took ``seconds``, and ``parked`` aggregates wait in it. It
    is ``live``, or it was not to be; ``resumed`` says that somebody else had begun it.
    """

    generation: int
    events: int
    seconds: float
    parked: int
    live: bool
    resumed: bool = False


async def rebuild(
    store: EventStore,
    projection: Projector,
    *,
    progress: Progress | None = None,
    settings: WorkerSettings | None = None,
    forget_skips: bool = False,
    check: Check | None = None,
) -> RebuildReport:
    """Build the next generation of a view from the first event on, and switch to it.

    Readers see the one that is live until then, and workers keep it up to date. They help to build
    the next one, if their code has the same version; without any, this call does it alone. When it
    is stopped or fails, the generation stays, and is built by the workers: a later call goes on
    with it, or begins another one if the log was rolled back under it. So do two calls at once. If
    it is stopped in the middle of the switch of a SQL view, workers finish that. The one that was
    live is kept, see ``rollback``.

    What was parked is tried again and may be parked anew; what a person has skipped stays skipped,
    unless ``forget_skips``, which counts only when the generation is begun.

    Args:
        check: is asked before the switch; when it says no, the generation stays as it is built.

    Raises:
        RevisionMismatch: another version of the projection is building a generation.
        ViewHalted: a partition of it stands still, because an event can neither be applied nor
            parked.
        NoGeneration: somebody has dropped it.
        StoreUnavailable, ServerRefused: the server does not answer.
    """
    began = time.monotonic()
    settings = settings or WorkerSettings()
    succession = Succession(store, projection)
    number, resumed = await _begin(store, projection, succession, forget_skips=forget_skips)
    new = projection.generation(number)
    live = await _bring(store, projection, number, settings, progress, check)
    await succession.sweep()
    found = await status(store, new)
    return RebuildReport(
        number,
        sum(one.position for one in found),
        time.monotonic() - began,
        sum(one.parked for one in found),
        live,
        resumed,
    )


async def rollback(
    store: EventStore,
    projection: Projector,
    *,
    progress: Progress | None = None,
    settings: WorkerSettings | None = None,
) -> RebuildReport:
    """Bring the generation that was live before to the head of the log, and switch back to it.

    The one that was live is kept instead, so this can be taken back in the same way.

    Raises:
        NoGeneration: none is kept.
        RevisionMismatch: it was made by another version of the projection; only the code of that
            version can bring it to the head.
        ViewHalted, StoreUnavailable, ServerRefused: as ``rebuild``.
    """
    began = time.monotonic()
    found = await Succession(store, projection).look()
    number = kept(projection, found)
    revision = found.revisions.get(number, "")
    if revision != projection.revision:
        raise RevisionMismatch(
            f"{projection.base}, generation {number},",
            revision,
            projection.revision,
            "go back to that code first, then roll back",
        )
    old = projection.generation(number)
    before = sum(one.position for one in await status(store, old))
    live = await _bring(store, projection, number, settings or WorkerSettings(), progress, None)
    after = await status(store, old)
    return RebuildReport(
        number,
        sum(one.position for one in after) - before,
        time.monotonic() - began,
        sum(one.parked for one in after),
        live,
    )


async def abandon(store: EventStore, projection: Projector) -> int:
    """Drop the generation that is being built, whoever builds it; returns its number.

    Raises:
        NoGeneration: none is.
        StoreUnavailable, ServerRefused: the server does not answer.
    """
    succession = Succession(store, projection)
    number = (await succession.look()).building
    if number is None or not await succession.retire(number):
        raise NoGeneration(projection.base, "is not being built anew: there is nothing to abandon")
    return number


async def drop_previous(store: EventStore, projection: Projector) -> int:
    """Drop the generation that ``rollback`` would go back to; returns its number.

    Raises:
        NoGeneration: none is kept.
        StoreUnavailable, ServerRefused: the server does not answer.
    """
    succession = Succession(store, projection)
    number = kept(projection, await succession.look())
    if not await succession.retire(number):
        raise NoGeneration(projection.base, "has no previous generation any more")
    return number


def kept(projection: Projector, found: Generations) -> int:
    """The number of the previous generation. Raises NoGeneration."""
    if found.previous is None:
        raise NoGeneration(
            projection.base,
            "has no previous generation: it was not made anew yet, or what was before is dropped",
        )
    return found.previous


async def _begin(
    store: EventStore, projection: Projector, succession: Succession, *, forget_skips: bool
) -> tuple[int, bool]:
    """The number of the generation to build, and whether somebody else had begun it."""
    while True:
        number, resumed = await succession.begin("person", forget_skips=forget_skips)
        if not resumed or not await stands_astray(store, projection.generation(number).name):
            return number, resumed
        await succession.retire(number)


async def _bring(
    store: EventStore,
    projection: Projector,
    number: int,
    settings: WorkerSettings,
    progress: Progress | None,
    check: Check | None,
) -> bool:
    """Bring a generation to the head and make it live; False when the check said no."""
    new = projection.generation(number)
    async with followed(store, new, f"rebuild:{secrets.token_hex(4)}", settings):
        await catch_up(store, new, progress)
        if check is not None:
            live = (await Succession(store, projection).look()).live
            if live != number and not await check(projection.generation(live), new):
                return False
        while await switch(store, projection, number, settings) is None:
            await catch_up(store, new, progress)
    if progress is not None:
        found = await status(store, new)
        progress(sum(one.position for one in found), sum(one.head for one in found))
    return True
