"""What can be read of one aggregate: its state at any time, its events, and why it is so."""

from starlette.requests import Request
from starlette.responses import Response

from whence.actors.history import state_at
from whence.actors.model import AggregateType
from whence.actors.runtime import Runtime
from whence.actors.why import explain
from whence.store.errors import InvalidInput, StreamNotFound
from whence.store.ids import StreamId
from whence.web.cloudevents import CLOUDEVENTS, CloudEvents
from whence.web.conditions import unchanged
from whence.web.eventstream import EVENT_STREAM, EventStream
from whence.web.live import Live
from whence.web.parameters import aware_moment, number, parameters
from whence.web.places import InStream
from whence.web.replies import (
    EventsReply,
    StateReply,
    StoredEvent,
    WhyFieldReply,
    WhyReply,
    empty,
    etag,
    next_page,
    reply,
)

DEFAULT_EVENTS = 100
MAX_EVENTS = 500
_LAST_EVENT_ID = "last-event-id"


class History:
    """Reads the aggregates of one kind: the newest state through the runtime, the past itself."""

    def __init__(self, kind: AggregateType, runtime: Runtime, live: Live) -> None:
        self._kind = kind
        self._runtime = runtime
        self._registry = runtime.model.events
        self._store = runtime.store
        self._live = live
        self._cloud_events = CloudEvents(runtime.store.identity.uuid)

    async def state(self, request: Request, id_: str) -> Response:
        """GET /orders/42, also as of a ``version`` or ``at`` a moment."""
        given = parameters(request, ("version", "at"))
        version = number(given, "version", least=1)
        at = aware_moment(given, "at")
        if version is not None and at is not None:
            raise InvalidInput("give either version or at, not both", field="at")
        if version is None and at is None:
            found = await self._runtime.get(self._kind.cls, id_)
        else:
            found = await state_at(
                self._store, self._registry, self._kind, id_, version=version, at=at
            )
        headers = etag(found.version)
        if unchanged(request, found.stream, found.version):
            return empty(status=304, headers=headers)
        return reply(StateReply.of(found), headers=headers)

    async def events(self, request: Request, id_: str) -> Response:
        """GET /orders/42/events: the stored bytes, so even those that no class can read.

        A page of them, also as CloudEvents; or all of them, and then each new one as it comes.
        """
        given = parameters(request, ("after", "limit"))
        after = number(given, "after", least=0) or 0
        limit = number(given, "limit", least=1, most=MAX_EVENTS) or DEFAULT_EVENTS
        stream = StreamId.checked(self._kind.name, id_)
        accepted = request.headers.get("accept", "")
        if EVENT_STREAM in accepted and request.method == "GET":
            return await self._follow(request, stream, after)
        # One more than asked for tells whether there is a next page.
        found = [r async for r in self._store.read(stream, first=after + 1, limit=limit + 1)]
        if not found and (after == 0 or await self._store.head(stream) == 0):
            raise StreamNotFound(stream)
        page = found[:limit]
        beyond = page[-1].version if len(found) > limit else None
        links = next_page(request, given, beyond)
        if CLOUDEVENTS in accepted:
            batch = [self._cloud_events.of(record) for record in page]
            return reply(batch, headers=links, media_type=CLOUDEVENTS)
        document = EventsReply(
            id_,
            self._kind.name,
            self._store.keys.partition(stream),
            [StoredEvent.of(record) for record in page],
            beyond,
        )
        return reply(document, headers=links)

    async def _follow(self, request: Request, stream: StreamId, after: int) -> Response:
        known = request.headers.get("last-event-id")
        if known is not None:
            after = number({_LAST_EVENT_ID: known}, _LAST_EVENT_ID, least=0) or 0
        self._live.check_room()
        head = await self._store.head(stream)
        if head == 0:
            raise StreamNotFound(stream)
        if after > head:
            raise InvalidInput(
                f"{stream} ends at version {head}, so nobody can have seen version {after} of it: "
                "begin anew, for the log was rolled back, or this is the id of another stream",
                field="after" if known is None else _LAST_EVENT_ID,
            )
        return EventStream(self._live, InStream(self._store, stream, after), self._cloud_events)

    async def why(self, request: Request, id_: str) -> Response:
        """GET /orders/42/why: the event behind each field, or the whole story of one ``field``."""
        field = parameters(request, ("field",)).get("field")
        found = await explain(self._store, self._registry, self._kind, id_, field)
        headers = etag(found.version)
        if unchanged(request, StreamId(self._kind.name, id_), found.version):
            return empty(status=304, headers=headers)
        last = {name: changes[-1] if changes else None for name, changes in found.changes.items()}
        if field is None:
            return reply(WhyReply(id_, self._kind.name, found.version, last), headers=headers)
        document = WhyFieldReply(
            id_,
            self._kind.name,
            found.version,
            field,
            getattr(found.state, field),
            last[field],
            found.changes[field],
        )
        return reply(document, headers=headers)
