"""One step in the life of an aggregate: an event, and the states on both sides of it."""

from datetime import datetime
from typing import NamedTuple

from whence.actors.history import state_at
from whence.actors.load import load
from whence.actors.model import AggregateType, AnyAggregate
from whence.store.errors import StreamNotFound, VersionNotFound
from whence.store.eventstore import EventStore
from whence.store.ids import StreamId
from whence.store.recorded import Recorded
from whence.store.registry import EventRegistry


class Step(NamedTuple):
    """The event that led to a version; ``before`` is the state that it changed into ``after``."""

    record: Recorded
    before: AnyAggregate
    after: AnyAggregate

    @property
    def changed(self) -> list[str]:
        """The fields to which the event gave another value."""
        names = self.after.__struct_fields__
        return [name for name in names if getattr(self.before, name) != getattr(self.after, name)]


async def version_at(
    store: EventStore, events: EventRegistry, kind: AggregateType, id_: str, at: datetime
) -> int:
    """The version that an aggregate had at a moment (aware); raises like ``state_at``."""
    return (await state_at(store, events, kind, id_, at=at)).version


async def step_to(
    store: EventStore, events: EventRegistry, kind: AggregateType, id_: str, version: int
) -> Step:
    """The step that led to a version.

    Raises:
        InvalidId: the id cannot be one.
        StreamNotFound: the aggregate has no event.
        VersionNotFound: it has fewer events, or ``version`` is below 1.
        CorruptStore: a stored event cannot be read, see ``EventStore.read``.
    """
    stream = StreamId.checked(kind.name, id_)
    found = [r async for r in store.read(stream, first=version, last=version)] if version else []
    if not found or version < 1:
        head = await store.head(stream)
        raise VersionNotFound(stream, version, head) if head else StreamNotFound(stream)
    before = (await load(store, events, kind, stream, last=version - 1)).state
    after = before
    for event in events.decode_all(found[0]):
        after = after.apply(event)
    return Step(found[0], before, after)
