"""A page of the events of an aggregate, as people read them."""

from datetime import datetime
from itertools import islice
from typing import Any, NamedTuple, cast

import msgspec

from whence.actors.why import reason, who
from whence.store.errors import CorruptStore
from whence.store.eventstore import EventStore
from whence.store.ids import StreamId
from whence.store.recorded import Recorded
from whence.store.registry import EventRegistry
from whence.web.explorer import text

PAGE = 50
# Fields of one event that are shown.
_MAX_FIELDS = 50


class Entry(NamedTuple):
    """An event as it is stored; ``fields`` is empty where its data is no JSON object."""

    version: int
    type: str
    schema_version: int
    occurred_at: datetime
    who: str
    reason: str
    fields: list[tuple[str, str]]
    raw: str
    command_id: str
    causation_id: str


class Timeline(NamedTuple):
    """Entries, newest first; ``newer`` and ``older`` are pages, or None where there is none."""

    entries: list[Entry]
    page: int
    newer: int | None
    older: int | None


def page_of(version: int) -> int:
    """The page on which a version stands; page 1 has the oldest events."""
    return (version - 1) // PAGE + 1


async def timeline(
    store: EventStore, events: EventRegistry, stream: StreamId, page: int, head: int
) -> Timeline:
    """One page of ``PAGE`` events of a stream with ``head`` events.

    Raises:
        StoreUnavailable, ServerRefused, CorruptStore: see ``EventStore.read``.
    """
    last = page_of(head)
    page = min(page, last)
    first = (page - 1) * PAGE + 1
    found = store.read(stream, first=first, last=min(page * PAGE, head))
    entries = [entry(events, record) async for record in found]
    newer, older = page + 1 if page < last else None, page - 1 if page > 1 else None
    return Timeline(entries[::-1], page, newer, older)


def entry(events: EventRegistry, record: Recorded) -> Entry:
    """An event for people, even one that no class can read."""
    metadata = record.metadata
    by, because = metadata.who, metadata.reason
    try:
        for event in events.decode_all(record):
            by, because = by or who(event, record), because or reason(event, record)
    except CorruptStore:
        pass  # who and why are in the metadata or nowhere, and the stored bytes are shown anyway
    fields = _fields(record.data)
    return Entry(
        record.version,
        text.visible(record.type),
        record.schema_version,
        record.occurred_at,
        text.visible(by),
        text.visible(because),
        fields,
        "" if fields else text.visible(record.data.decode(errors="replace")),
        record.command_id,
        metadata.causation_id,
    )


def _fields(data: bytes) -> list[tuple[str, str]]:
    try:
        found: Any = msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return []
    if not isinstance(found, dict):
        return []
    pairs = islice(cast("dict[str, Any]", found).items(), _MAX_FIELDS)
    return [(text.visible(name), text.value(shown)) for name, shown in pairs]
