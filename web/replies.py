"""The JSON documents that Whence answers with; /openapi.json describes these same classes."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any
from urllib.parse import quote, urlencode

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from whence.actors.receipt import Receipt, Versioned
from whence.actors.why import Change
from whence.store.recorded import Recorded, moment

_encode = msgspec.json.Encoder().encode
_EMPTY = msgspec.Raw(b"{}")
# Commands that were stored by one call have one moment, and are answered one after the other.
_moment = lru_cache(maxsize=16)(moment)

# Headers as ASGI has them, under lower-case names.
RawHeaders = list[tuple[bytes, bytes]]


class DecidedEvent(msgspec.Struct, frozen=True, gc=False):
    """An event that a command has stored."""

    type: str
    version: int
    occurred_at: datetime
    data: Any


class MinimalReply(msgspec.Struct, frozen=True):
    """Where a command has led; ``position`` is 0 when it decided nothing."""

    id: str
    version: int
    partition: int
    position: int

    @classmethod
    def of(cls, receipt: Receipt) -> "MinimalReply":
        return cls(receipt.stream.id, receipt.version, receipt.partition, receipt.position)


class CommandReply(msgspec.Struct, frozen=True, gc=False):
    """What a command has done. One that decided nothing has no events and position 0."""

    id: str
    version: int
    partition: int
    position: int
    events: Sequence[DecidedEvent]

    @classmethod
    def of(cls, receipt: Receipt) -> "CommandReply":
        occurred_at = _moment(receipt.occurred_at_us)
        events = [
            DecidedEvent(type(event).__name__, version, occurred_at, event)
            for event, version in zip(receipt.events, receipt.versions, strict=True)
        ]
        return cls(receipt.stream.id, receipt.version, receipt.partition, receipt.position, events)


class StateReply(msgspec.Struct, frozen=True):
    """The state of an aggregate at a version, and when it came to be so."""

    id: str
    type: str
    version: int
    occurred_at: datetime
    state: Any

    @classmethod
    def of(cls, found: Versioned[Any]) -> "StateReply":
        occurred_at = moment(found.occurred_at_us)
        return cls(found.stream.id, found.stream.type, found.version, occurred_at, found.state)


class StoredEvent(msgspec.Struct, frozen=True):
    """An event as it is stored; ``position`` is its place in the feed of the partition."""

    version: int
    type: str
    schema_version: int
    position: int
    occurred_at: datetime
    command_id: str
    metadata: Any
    data: Any

    @classmethod
    def of(cls, record: Recorded) -> "StoredEvent":
        return cls(
            record.version,
            record.type,
            record.schema_version,
            record.position,
            record.occurred_at,
            record.command_id,
            msgspec.Raw(record.metadata_json) if record.metadata_json else _EMPTY,
            msgspec.Raw(record.data),
        )


class EventsReply(msgspec.Struct, frozen=True):
    """A page of the events of an aggregate; ``next`` is the ``after`` of the next page, or null."""

    id: str
    type: str
    partition: int
    events: Sequence[StoredEvent]
    next: int | None


class WhyReply(msgspec.Struct, frozen=True):
    """For every field of the state the event that last set it, null where none did."""

    id: str
    type: str
    version: int
    fields: dict[str, Change | None]


class WhyFieldReply(msgspec.Struct, frozen=True):
    """One field: its value, the event that last set it, and all that did, oldest first."""

    id: str
    type: str
    version: int
    field: str
    value: Any
    last: Change | None
    history: Sequence[Change]


class ViewReply(msgspec.Struct, frozen=True):
    """A page of the rows of a view; ``next`` is the ``after`` of the next page, or null."""

    view: str
    total: int
    rows: Sequence[dict[str, Any]]
    next: str | None


class JsonReply(Response):
    """A JSON response whose few headers are written as they are sent, so nothing looks at them.

    Args:
        headers: the others; the list becomes the response's own.
    """

    background = None

    def __init__(
        self,
        document: object,
        status: int,
        headers: RawHeaders,
        media_type: bytes = b"application/json",
    ) -> None:
        self.status_code = status
        self.body = body = _encode(document)
        self.raw_headers = headers
        headers += ((b"content-length", b"%d" % len(body)), (b"content-type", media_type))


def reply(
    document: object,
    *,
    status: int = 200,
    headers: dict[str, str] | None = None,
    media_type: str = "application/json",
) -> Response:
    """A JSON response; the names of ``headers`` are lower-case."""
    given = headers or {}
    raw = [(name.encode(), value.encode("latin-1")) for name, value in given.items()]
    return JsonReply(document, status, raw, media_type.encode())


def empty(*, status: int, headers: dict[str, str]) -> Response:
    """A response without a body: the headers say it all."""
    return Response(status_code=status, headers=headers)


def etag(version: int) -> dict[str, str]:
    """The header that carries a version."""
    return {"etag": f'"{version}"'}


def next_page(
    request: Request, given: Mapping[str, str], after: int | str | None
) -> dict[str, str] | None:
    """The header that links to the page behind this one (RFC 8288); None at the end.

    Args:
        given: the query parameters of this page.
        after: where the next one begins.
    """
    if after is None:
        return None
    query = urlencode({**given, "after": after})
    return {"link": f'<{quote(request.url.path)}?{query}>; rel="next"'}
