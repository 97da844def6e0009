"""The page of the projections: how far each is, how fast it goes, who works on it."""

import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from whence.domain import Domain
from whence.projections.projection import Projector
from whence.projections.status import PartitionStatus, owner_counts, status
from whence.store.eventstore import EventStore
from whence.web.explorer.bars import Bar, bars
from whence.web.explorer.pages import Pages
from whence.web.explorer.parked import ParkedEvents, said
from whence.web.explorer.samples import Pace, Sampled
from whence.web.explorer.streams import EVERY, Message
from whence.web.parameters import parameters

# Readings that make up the rate.
_WINDOW = 10


class Standing(NamedTuple):
    """A projection as a whole, and each of its partitions.

    ``rate`` is in events per second, None before the second look; ``owners`` are the workers, and
    how many partitions each has.
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

    @classmethod
    def of(
        cls, projection: Projector, found: Sequence[PartitionStatus], rate: float | None
    ) -> "Standing":
        heights = bars([one.lag for one in found], top=10)
        return cls(
            projection.name,
            (type(projection).__doc__ or "").strip().partition("\n")[0],
            found,
            list(zip(found, heights, strict=True)),
            sum(one.position for one in found),
            sum(one.lag for one in found),
            rate,
            owner_counts(found),
            sum(not one.owner for one in found),
            [one for one in found if one.failure],
        )


class ProjectionsPage:
    """``/explorer/projections``, live."""

    def __init__(
        self, domain: Domain, store: EventStore, pages: Pages, parked: ParkedEvents
    ) -> None:
        self._parked = parked
        self._projections = list(domain.read_model.projections.values())
        self._store = store
        self._pages = pages
        self._paces = {one.name: Pace(window=_WINDOW) for one in self._projections}
        self._standings = Sampled(self._look, every=EVERY)

    async def answer(self, request: Request) -> Response:
        """Raises InvalidInput, StoreUnavailable, ServerRefused, CorruptStore."""
        outcome = parameters(request, ("outcome",)).get("outcome")
        live = self._fragment(request, await self._standings.get())
        parked = await self._parked.found()
        return self._pages.answer(
            request, "projections.html", live=live, parked=parked, said=said(outcome)
        )

    async def live(self, request: Request) -> Message:
        return Message("fragment", self._fragment(request, await self._standings.get()))

    def _fragment(self, request: Request, standings: list[Standing]) -> str:
        return self._pages.fragment(request, "projections_live.html", standings=standings)

    async def _look(self) -> list[Standing]:
        return [await self._standing(projection) for projection in self._projections]

    async def _standing(self, projection: Projector) -> Standing:
        found = await status(self._store, projection)
        pace = self._paces[projection.name]
        pace.add(sum(one.position for one in found), time.monotonic())
        return Standing.of(projection, found, pace.per_second)
