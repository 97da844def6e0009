"""GET /events: the events of all aggregates as they come."""

from collections.abc import Callable, Mapping, Sequence

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from whence.store.errors import InvalidInput, shown
from whence.store.eventstore import EventStore
from whence.store.recorded import Recorded
from whence.store.registry import EventRegistry
from whence.web.cloudevents import CloudEvents
from whence.web.eventstream import EventStream
from whence.web.live import Live
from whence.web.parameters import parameters
from whence.web.places import InLog, parse_positions


class LogBranch:
    """``/events``, from now on unless ``after`` or Last-Event-ID says from where."""

    def __init__(self, events: EventRegistry, store: EventStore, live: Live) -> None:
        self._events = events
        self._store = store
        self._live = live
        self._cloud_events = CloudEvents(store.identity.uuid)

    async def __call__(self, request: Request, path: Sequence[str]) -> Response:
        if path:
            raise HTTPException(404)
        if request.method != "GET":
            raise HTTPException(405, headers={"Allow": "GET"})
        given = parameters(request, ("types", "after"))
        wanted = self._wanted(given.get("types"))
        self._live.check_room()
        positions = await self._positions(request, given)
        place = InLog(self._store, positions, wanted)
        return EventStream(self._live, place, self._cloud_events)

    async def _positions(self, request: Request, given: Mapping[str, str]) -> Sequence[int]:
        partitions = self._store.keys.partitions
        known = request.headers.get("last-event-id")
        if known is not None:
            return await self._seen(known, "last-event-id")
        match given.get("after"):
            case None:
                return await self._store.feed_heads(range(partitions))
            case "start":
                return [0] * partitions
            case after:
                return await self._seen(after, "after")

    async def _seen(self, text: str, field: str) -> Sequence[int]:
        """The positions that a client says it has seen. Raises InvalidInput."""
        partitions = range(self._store.keys.partitions)
        positions = parse_positions(text, len(partitions), field)
        heads = await self._store.feed_heads(partitions)
        for number, (position, head) in enumerate(zip(positions, heads, strict=True)):
            if position > head:
                raise InvalidInput(
                    f"partition {number} ends at {head}, so nobody can have seen {position} of it: "
                    "begin anew with after=start, for the log was rolled back, or this is the id "
                    "of another log",
                    field=field,
                )
        return positions

    def _wanted(self, types: str | None) -> Callable[[Recorded], bool]:
        """Whether an event is one of these types, also where it was stored under an older name."""
        if types is None:
            return lambda _: True
        classes = [self._events.class_of(name) for name in types.split(",")]
        if None in classes:
            raise InvalidInput(
                f"types is a list of event types with commas between, not {shown(types)}",
                field="types",
            )
        return lambda record: self._events.class_of(record.type) in classes
