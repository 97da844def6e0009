"""The page of the store: how much comes in, what it takes in memory, what the doctor says."""

import time
from collections.abc import Sequence
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from whence.store.diagnosis import Finding
from whence.store.doctor import examine
from whence.store.eventstore import EventStore
from whence.store.memory_use import MemoryUse, measure
from whence.web.explorer.bars import Bar, bars
from whence.web.explorer.pages import Pages
from whence.web.explorer.samples import Pace, Sampled
from whence.web.explorer.streams import EVERY, Message
from whence.web.parameters import parameters

# Seconds that the picture covers.
_SHOWN = 60
# Seconds between two examinations: they look at a few hundred streams.
_EXAMINE_EVERY = 10.0


class Flow(NamedTuple):
    """How many events there are, and come; ``per_second`` is None before the second look."""

    events: int
    per_second: float | None
    most: float
    bars: Sequence[Bar]


class Health(NamedTuple):
    """What an examination found; ``memory`` is None while there are no events."""

    findings: Sequence[Finding]
    memory: MemoryUse | None


class StorePage:
    """``/explorer/store``, live."""

    def __init__(self, store: EventStore, pages: Pages) -> None:
        self._store = store
        self._pages = pages
        self._pace = Pace(window=_SHOWN)
        self._flow = Sampled(self._count, every=EVERY)
        self._health = Sampled(self._examine, every=_EXAMINE_EVERY)

    async def answer(self, request: Request) -> Response:
        """Raises InvalidInput, StoreUnavailable, ServerRefused, CorruptStore."""
        parameters(request, ())
        return self._pages.answer(
            request, "store.html", store=self._store, live=await self._fragment(request)
        )

    async def live(self, request: Request) -> Message:
        return Message("fragment", await self._fragment(request))

    async def _fragment(self, request: Request) -> str:
        flow, health = await self._flow.get(), await self._health.get()
        return self._pages.fragment(
            request, "store_live.html", flow=flow, health=health, seconds=_SHOWN
        )

    async def _count(self) -> Flow:
        events = sum(await self._store.feed_heads(range(self._store.keys.partitions)))
        self._pace.add(events, time.monotonic())
        steps = self._pace.steps
        return Flow(
            events,
            steps[-1] if steps else None,
            max(steps, default=0.0),
            bars(steps, places=_SHOWN, top=1.0),
        )

    async def _examine(self) -> Health:
        findings = await examine(self._store, self._store.durability)
        use = await measure(self._store)
        return Health(findings, use if use.events else None)
