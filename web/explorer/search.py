"""The first page: find an aggregate, or pick one of those that changed last."""

from typing import NamedTuple
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from whence.domain import Domain
from whence.store.errors import InvalidInput
from whence.store.eventstore import EventStore
from whence.store.ids import StreamId
from whence.store.reading import changed_last
from whence.store.recorded import Recorded
from whence.web.example import curl, first_command
from whence.web.explorer.pages import Pages, root
from whence.web.explorer.samples import Sampled
from whence.web.explorer.streams import EVERY, Message
from whence.web.parameters import parameters

# Aggregates on the list of those that changed last.
_RECENT = 20


class FirstStep(NamedTuple):
    """What to type to make the first event of a store; the line is empty if none could be made."""

    command: str
    line: str


class SearchPage:
    """``/explorer``, and ``/explorer/find`` which its form asks."""

    def __init__(self, domain: Domain, store: EventStore, pages: Pages) -> None:
        self._domain = domain
        self._pages = pages
        self._recent = Sampled(lambda: changed_last(store, limit=_RECENT), every=EVERY)

    async def answer(self, request: Request) -> Response:
        """Raises InvalidInput, StoreUnavailable, ServerRefused, CorruptStore."""
        parameters(request, ())
        kinds = list(self._domain.write_model.aggregates)
        live = self._fragment(request, await self._recent.get())
        return self._pages.answer(request, "search.html", kinds=kinds, live=live)

    async def find(self, request: Request) -> Response:
        """Leads to the page of an aggregate. Raises InvalidInput, InvalidId, UnknownAggregate."""
        given = parameters(request, ("type", "id"))
        type_name, id_ = given.get("type", ""), given.get("id", "").strip()
        if "/" in id_:  # as it is written everywhere: order/42
            type_name, _, id_ = id_.partition("/")
        if not id_:
            raise InvalidInput("type the id of an aggregate, such as 42", field="id")
        kind = self._domain.write_model.aggregate(type_name)
        stream = StreamId.checked(kind.name, id_)
        address = f"{root(request)}/explorer/aggregates/{quote(str(stream))}"
        return RedirectResponse(address, 303, {"cache-control": "no-store"})

    async def live(self, request: Request) -> Message:
        return Message("fragment", self._fragment(request, await self._recent.get()))

    def _fragment(self, request: Request, recent: list[Recorded]) -> str:
        first = None if recent else self._first_step(request)
        known = self._domain.write_model.aggregates
        shown = [record for record in recent if record.stream.type in known]
        return self._pages.fragment(request, "search_live.html", recent=shown, first=first)

    def _first_step(self, request: Request) -> FirstStep | None:
        first = first_command(self._domain)
        if first is None:
            return None
        kind, command = first
        base = f"{request.url.scheme}://{request.url.netloc}{root(request)}"
        return FirstStep(f"{command.name} for {kind.name} 42", curl(base, kind, command) or "")
