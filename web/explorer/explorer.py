"""The addresses of the Explorer."""

import asyncio
from collections.abc import Sequence

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from whence.domain import Domain
from whence.store.errors import WhenceError
from whence.store.eventstore import EventStore
from whence.web.explorer.aggregate import AggregatePage
from whence.web.explorer.generations import GenerationForms
from whence.web.explorer.pages import Pages
from whence.web.explorer.parked import ParkedEvents
from whence.web.explorer.projections import ProjectionsPage
from whence.web.explorer.search import SearchPage
from whence.web.explorer.static_files import StaticFiles
from whence.web.explorer.store import StorePage
from whence.web.explorer.streams import Streams


class Explorer:
    """Everything below ``/explorer``. It reads, and takes what people decide about parked
    events and about generations of views.

    Args:
        stop: when it is set, the pages' streams end at once.
    """

    def __init__(self, domain: Domain, store: EventStore, stop: asyncio.Event) -> None:
        self._pages = Pages()
        self._files = StaticFiles()
        self._streams = Streams(stop)
        self._search = SearchPage(domain, store, self._pages)
        self._aggregate = AggregatePage(domain, store, self._pages)
        self._parked = ParkedEvents(domain, store)
        self._generations = GenerationForms(domain, store)
        self._projections = ProjectionsPage(domain, store, self._pages, self._parked)
        self._store = StorePage(store, self._pages)

    async def __call__(self, request: Request, path: Sequence[str]) -> Response:
        try:
            if path[:1] == ["live"]:
                _only(request, "GET")
                return self._live(request, path[1:])
            match path:
                case ["projections", name, "retry" | "skip" as action]:
                    _only(request, "POST")
                    return await self._parked.act(request, name, action)
                case ["projections", name, "withdraw"]:
                    _only(request, "POST")
                    return await self._generations.withdraw(request, name)
                case [
                    "projections",
                    name,
                    "rebuild" | "compare" | "switch" | "rollback" | "abandon" | "drop" as action,
                ]:
                    _only(request, "POST")
                    return await self._generations.act(request, name, action)
                case _:
                    _only(request, "GET", "HEAD")
                    return await self._page(request, path)
        except (WhenceError, HTTPException) as error:
            return self._pages.problem(request, error)

    async def _page(self, request: Request, path: Sequence[str]) -> Response:
        match path:
            case [] | [""]:
                return await self._search.answer(request)
            case ["find"]:
                return await self._search.find(request)
            case ["aggregates", type_name, id_]:
                return await self._aggregate.answer(request, type_name, id_)
            case ["projections"]:
                return await self._projections.answer(request)
            case ["store"]:
                return await self._store.answer(request)
            case ["static", name]:
                return self._files.answer(request, name)
            case _:
                raise HTTPException(404, "the Explorer has no such page")

    def _live(self, request: Request, path: Sequence[str]) -> Response:
        match path:
            case ["search"]:
                return self._streams.of(lambda: self._search.live(request))
            case ["aggregates", type_name, id_]:
                return self._streams.of(lambda: self._aggregate.head(type_name, id_))
            case ["projections"]:
                return self._streams.of(lambda: self._projections.live(request))
            case ["store"]:
                return self._streams.of(lambda: self._store.live(request))
            case _:
                raise HTTPException(404, "the Explorer has no such stream")


def _only(request: Request, *methods: str) -> None:
    if request.method not in methods:
        raise HTTPException(405, "this address has other methods", {"allow": ", ".join(methods)})
