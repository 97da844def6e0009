"""The page of one aggregate: its state at any version or moment, why it is so, and its events."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from whence.actors.model import AggregateType
from whence.actors.step import Step, step_to, version_at
from whence.actors.why import Change, explain
from whence.domain import Domain
from whence.store.errors import CorruptStore, InvalidInput, StreamNotFound, UnknownField, shown
from whence.store.eventstore import EventStore
from whence.store.ids import StreamId
from whence.store.recorded import Recorded
from whence.web.explorer import text
from whence.web.explorer.causes import Cause, Causes
from whence.web.explorer.pages import Pages, root
from whence.web.explorer.streams import Message
from whence.web.explorer.timeline import Timeline, page_of, timeline
from whence.web.parameters import number, parameters

# Changes of one field that are shown, the newest ones.
MAX_CHANGES = 50
# Places on the slider of moments.
_PLACES = 400
_EPOCH = datetime.fromtimestamp(0, UTC)


class Asked(NamedTuple):
    """What a reader wants to see of an aggregate; ``version`` None is the newest one."""

    version: int | None
    at: datetime | None
    field: str
    page: int | None

    @classmethod
    def of(cls, request: Request, kind: AggregateType) -> "Asked":
        """Raises InvalidInput, UnknownField."""
        given = parameters(request, ("version", "at", "ms", "field", "page"))
        at = _of_slider(given["ms"]) if "ms" in given else _moment(given.get("at", ""))
        version = number(given, "version", least=1)
        if version is not None and at is not None:
            raise InvalidInput("give either a version or a moment, not both", field="version")
        field, fields = given.get("field", ""), kind.cls.__struct_fields__
        if field and field not in fields:
            raise UnknownField(kind.name, field, fields)
        return cls(version, at, field, number(given, "page", least=1))


def _moment(given: str) -> datetime | None:
    """A moment; without an offset it is one of UTC, as the page says beside its field."""
    if not given:
        return None
    try:
        found = datetime.fromisoformat(given)
    except ValueError:
        sentence = f"{shown(given)} is not a moment: write it as 2026-01-31T12:00:00Z"
        raise InvalidInput(sentence, field="at") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _of_slider(given: str) -> datetime:
    try:
        return _EPOCH + timedelta(milliseconds=int(given))
    except (ValueError, OverflowError):
        sentence = f"ms is a moment in milliseconds since 1970, not {shown(given)}"
        raise InvalidInput(sentence, field="ms") from None


class Times(NamedTuple):
    """The slider of moments, in milliseconds since 1970; its last place is not before the end."""

    first: int
    last: int
    step: int
    value: int

    @classmethod
    def of(cls, first: datetime, last: datetime, now: datetime) -> "Times":
        begin, end = text.milliseconds(first), text.milliseconds(last)
        step = max(1, -((begin - end) // _PLACES))
        places = -((begin - end) // step)
        return cls(begin, begin + places * step, step, text.milliseconds(now))

    @property
    def text(self) -> str:
        """``value`` as a field for a moment takes it."""
        now = _EPOCH + timedelta(milliseconds=self.value)
        return now.replace(tzinfo=None).isoformat(timespec="milliseconds")


class Why(NamedTuple):
    """The changes of one field, oldest first, without the ``hidden`` oldest ones."""

    field: str
    value: Any
    changes: Sequence[Change]
    hidden: int
    causes: dict[str, list[Cause]]


class Shown(NamedTuple):
    """All that the templates need of an aggregate of ``head`` events, at one of its versions.

    ``step`` is None, and ``trouble`` says why, where an event cannot be read. ``place`` is the
    version or moment as a query, empty for a page that goes on to each new version.
    """

    kind: AggregateType
    stream: StreamId
    partition: int
    first: Recorded
    head: int
    version: int
    times: Times
    step: Step | None
    why: Why | None
    trouble: str
    timeline: Timeline
    field: str
    place: str


class AggregatePage:
    """``/explorer/aggregates/order/42``, and what changes on it while somebody looks.

    With the header of htmx it is the part that moves with the slider, otherwise the whole page.
    """

    def __init__(self, domain: Domain, store: EventStore, pages: Pages) -> None:
        self._model = domain.write_model
        self._store = store
        self._pages = pages
        self._causes = Causes(store, domain.write_model)

    async def answer(self, request: Request, type_name: str, id_: str) -> Response:
        """Raises InvalidInput, NotFound, StoreUnavailable, ServerRefused, CorruptStore."""
        kind = self._model.aggregate(type_name)
        stream = StreamId.checked(kind.name, id_)
        asked = Asked.of(request, kind)
        partial = "hx-request" in request.headers
        found = await self._shown(kind, stream, asked, partial=partial)
        return self._pages.answer(
            request,
            "aggregate_then.html" if partial else "aggregate.html",
            status=500 if found.trouble else 200,
            headers={"hx-replace-url": _url(request, found)} if partial else None,
            **found._asdict(),
        )

    async def head(self, type_name: str, id_: str) -> Message:
        """The version that the aggregate has now, for a page that is open."""
        kind = self._model.aggregate(type_name)
        return Message("head", f"{await self._store.head(StreamId.checked(kind.name, id_))}")

    async def _shown(
        self, kind: AggregateType, stream: StreamId, asked: Asked, *, partial: bool
    ) -> Shown:
        events = self._model.events
        first, last = await self._ends(stream)
        version = asked.version or last.version
        if asked.at is not None:
            version = await version_at(self._store, events, kind, stream.id, asked.at)
        step, why, trouble = None, None, ""
        try:
            step = await step_to(self._store, events, kind, stream.id, version)
            why = await self._why(kind, stream, asked.field) if asked.field else None
        except CorruptStore as error:
            trouble = str(error)  # the events themselves may still say what is wrong
        page = asked.page or page_of(version)
        now = asked.at or (step.record.occurred_at if step else last.occurred_at)
        # Somebody who has moved the slider to its end wants to see what comes.
        at_end = partial and version == last.version
        follows = asked.at is None and (asked.version is None or at_end)
        return Shown(
            kind,
            stream,
            self._store.keys.partition(stream),
            first,
            last.version,
            version,
            Times.of(first.occurred_at, last.occurred_at, now),
            step,
            why,
            trouble,
            await timeline(self._store, events, stream, page, last.version),
            asked.field,
            _place(asked, version, follows=follows),
        )

    async def _ends(self, stream: StreamId) -> tuple[Recorded, Recorded]:
        async for last in self._store.read_backwards(stream, limit=1):
            async for first in self._store.read(stream, limit=1):
                return first, last
        raise StreamNotFound(stream)

    async def _why(self, kind: AggregateType, stream: StreamId, field: str) -> Why:
        found = await explain(self._store, self._model.events, kind, stream.id, field)
        history = found.changes[field]
        changes = history[-MAX_CHANGES:]
        causes = await self._causes.of({one.causation_id for one in changes if one.causation_id})
        value = getattr(found.state, field)
        return Why(field, value, changes, len(history) - len(changes), causes)


def _place(asked: Asked, version: int, *, follows: bool) -> str:
    if asked.at is not None:
        return urlencode({"at": asked.at.isoformat()})
    return "" if follows else f"version={version}"


def _url(request: Request, found: Shown) -> str:
    """The address under which a browser shows again what it shows now."""
    field = urlencode({"field": found.field}) if found.field else ""
    query = "&".join(part for part in (found.place, field) if part)
    path = f"{root(request)}/explorer/aggregates/{found.stream}"
    return f"{path}?{query}" if query else path
