"""The page of the projections and reactions: how far each is, how fast it goes, who works on it."""

import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from whence.domain import Domain
from whence.projections.compared import last_compared
from whence.projections.generations import Generations, generations_of_each, outdated
from whence.projections.live import Named
from whence.projections.projection import Projector
from whence.projections.status import PartitionStatus, owner_counts, statuses
from whence.reactions.status import timer_counts
from whence.store.errors import InvalidInput
from whence.store.eventstore import EventStore
from whence.web.explorer import generations, parked
from whence.web.explorer.bars import Bar, bars
from whence.web.explorer.generations import Making, on_its_way
from whence.web.explorer.pages import Pages
from whence.web.explorer.parked import ParkedEvents
from whence.web.explorer.samples import Pace, Sampled
from whence.web.explorer.streams import EVERY, Message
from whence.web.parameters import parameters

# Readings that make up the rate.
_WINDOW = 10
_OUTCOMES = parked.OUTCOMES | generations.OUTCOMES


class Standing(NamedTuple):
    """A projection or a reaction as a whole, and each of its partitions.

    ``rate`` is in events per second, None before the second look; ``owners`` are the workers, and
    how many partitions each has. ``remark`` says what is wrong with the live generation; ``making``
    is the one that is on its way, and ``returns`` says whether the previous one can come back. A
    reaction has none of these, and ``timers`` that wait.
    """

    name: str
    about: str
    partitions: Sequence[PartitionStatus]
    bars: Sequence[tuple[PartitionStatus, Bar]]
    applied: int
    lag: int
    rate: float | None
    owners: Mapping[str, int]
    unowned: int
    failures: Sequence[PartitionStatus]
    generations: Generations | None = None
    remark: str = ""
    making: Making | None = None
    returns: bool = False
    timers: int | None = None

    @classmethod
    def of(
        cls, follower: Named, found: Sequence[PartitionStatus], rate: float | None
    ) -> "Standing":
        heights = bars([one.lag for one in found], top=10)
        return cls(
            follower.name,
            (type(follower).__doc__ or "").strip().partition("\n")[0],
            found,
            list(zip(found, heights, strict=True)),
            sum(one.position for one in found),
            sum(one.lag for one in found),
            rate,
            owner_counts(found),
            sum(not one.owner for one in found),
            [one for one in found if one.failure],
        )

    def with_generations(
        self, projection: Projector, known: Generations, making: Making | None
    ) -> "Standing":
        """The same of a view, whose generations are known."""
        returns = known.revisions.get(known.previous or 0) == projection.revision
        return self._replace(
            generations=known,
            remark=outdated(projection, known),
            making=making,
            returns=returns,
        )


class ProjectionsPage:
    """``/explorer/projections``, live."""

    def __init__(
        self, domain: Domain, store: EventStore, pages: Pages, parked: ParkedEvents
    ) -> None:
        self._parked = parked
        self._projections = list(domain.read_model.projections.values())
        self._reactions = list(domain.reactions.reactions.values())
        self._store = store
        self._pages = pages
        self._paces: dict[str, Pace] = {}
        self._standings = Sampled(self._look, every=EVERY)

    async def answer(self, request: Request) -> Response:
        """Raises InvalidInput, StoreUnavailable, ServerRefused, CorruptStore."""
        outcome = parameters(request, ("outcome",)).get("outcome")
        if outcome is not None:
            self._standings.forget()  # they are of before
        return self._pages.answer(
            request,
            "projections.html",
            live=self._fragment(request, await self._standings.get()),
            parked=await self._parked.found(),
            said=_said(outcome),
            reactions=bool(self._reactions),
        )

    async def live(self, request: Request) -> Message:
        return Message("fragment", self._fragment(request, await self._standings.get()))

    def _fragment(self, request: Request, standings: list[Standing]) -> str:
        return self._pages.fragment(request, "projections_live.html", standings=standings)

    async def _look(self) -> list[Standing]:
        known = await generations_of_each(self._store, self._projections)
        coming = {one: new for one in known if (new := on_its_way(one, known[one])) is not None}
        found = await statuses(self._store, [*self._projections, *self._reactions])
        # Asked apart: the first generation has the name that stands for the live one above.
        beside = await statuses(self._store, coming.values())
        before, self._paces = self._paces, {}
        standings: list[Standing] = []
        for one in self._projections:
            making = None
            if one in coming:
                parts = beside[coming[one].name]
                rate = self._rate(before, f"{coming[one].name}, on its way", parts)
                compared = await last_compared(self._store, one, coming[one].number or 1)
                making = Making.of(coming[one], parts, rate, compared)
            rate = self._rate(before, f"{one.name}, {known[one].live} live", found[one.name])
            standing = Standing.of(one, found[one.name], rate)
            standings.append(standing.with_generations(one, known[one], making))
        for reaction in self._reactions:
            rate = self._rate(before, reaction.name, found[reaction.name])
            timers = sum(await timer_counts(self._store, reaction))
            standing = Standing.of(reaction, found[reaction.name], rate)
            standings.append(standing._replace(timers=timers))
        return standings

    def _rate(
        self, before: Mapping[str, Pace], of: str, found: Sequence[PartitionStatus]
    ) -> float | None:
        """Events per second of a generation; only those that are shown now are remembered."""
        pace = self._paces[of] = before.get(of) or Pace(window=_WINDOW)
        pace.add(sum(one.position for one in found), time.monotonic())
        return pace.per_second


def _said(outcome: str | None) -> str:
    """The sentence for what a form has led to; empty without one. Raises InvalidInput."""
    if outcome is None:
        return ""
    if outcome not in _OUTCOMES:
        raise InvalidInput("outcome is one of " + ", ".join(_OUTCOMES), field="outcome")
    return _OUTCOMES[outcome]
