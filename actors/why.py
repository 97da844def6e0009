"""Why a field is what it is: the events that set it."""

from datetime import datetime
from typing import Any

import msgspec

from whence.actors.model import AggregateType, AnyAggregate
from whence.store.errors import StreamNotFound, UnknownField
from whence.store.events import Event
from whence.store.eventstore import EventStore
from whence.store.ids import StreamId
from whence.store.recorded import Recorded
from whence.store.registry import EventRegistry


class Change(msgspec.Struct, frozen=True):
    """One event that gave a field another value.

    ``type`` is the class of today, whatever the event was called when it was stored.
    ``who`` and ``reason`` come from the event's metadata, or else from its own fields: ``reason``,
    and the first one that ends in ``_by`` (cancelled_by). They are empty when nobody said.
    """

    old: Any
    new: Any
    type: str
    version: int
    occurred_at: datetime
    who: str
    reason: str
    command_id: str
    correlation_id: str
    causation_id: str
    notes: dict[str, str]


class Explanation(msgspec.Struct, frozen=True):
    """The fields of an aggregate's state and all changes of each, oldest first.

    A field that no event has changed has its default and an empty list.
    """

    stream: StreamId
    version: int
    state: AnyAggregate
    changes: dict[str, list[Change]]


async def explain(
    store: EventStore,
    events: EventRegistry,
    kind: AggregateType,
    id_: str,
    field: str | None = None,
) -> Explanation:
    """Explain every field of an aggregate, or the one given.

    Raises:
        InvalidId: the id cannot be one.
        UnknownField: the state has no such field.
        StreamNotFound: the aggregate has no event.
        CorruptStore: a stored event cannot be read, see ``EventStore.read``.
    """
    stream = StreamId.checked(kind.name, id_)
    fields = _fields(kind, field)
    state: AnyAggregate = kind.cls()
    changes: dict[str, list[Change]] = {name: [] for name in fields}
    version = 0
    async for record in store.read(stream):
        for event in events.decode_all(record):
            after = state.apply(event)
            for name in fields:
                old, new = getattr(state, name), getattr(after, name)
                if old != new:
                    changes[name].append(_change(old, new, event, record))
            state = after
        version = record.version
    if version == 0:
        raise StreamNotFound(stream)
    return Explanation(stream, version, state, changes)


def _fields(kind: AggregateType, field: str | None) -> tuple[str, ...]:
    known = kind.cls.__struct_fields__
    if field is None:
        return known
    if field not in known:
        raise UnknownField(kind.name, field, known)
    return (field,)


def _change(old: Any, new: Any, event: Event, record: Recorded) -> Change:
    metadata = record.metadata
    return Change(
        old=old,
        new=new,
        type=type(event).__name__,
        version=record.version,
        occurred_at=record.occurred_at,
        who=who(event, record),
        reason=reason(event, record),
        command_id=record.command_id,
        correlation_id=metadata.correlation_id,
        causation_id=metadata.causation_id,
        notes=metadata.notes,
    )


def who(event: Event, record: Recorded) -> str:
    """Who is behind an event: as its metadata says, or its own fields; empty when neither does."""
    names = (name for name in event.__struct_fields__ if name.endswith("_by"))
    return record.metadata.who or _text(event, next(names, ""))


def reason(event: Event, record: Recorded) -> str:
    """Why it happened, found as ``who`` is."""
    return record.metadata.reason or _text(event, "reason")


def _text(event: Event, name: str) -> str:
    value = getattr(event, name, "") if name else ""
    return value if isinstance(value, str) else ""
