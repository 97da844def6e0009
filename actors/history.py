"""The past of an aggregate: its state at any version or moment."""

from datetime import datetime

from whence.actors.model import AggregateType, AnyAggregate
from whence.actors.receipt import Versioned
from whence.store.errors import StreamNotFound, VersionNotFound
from whence.store.eventstore import EventStore
from whence.store.ids import StreamId
from whence.store.registry import EventRegistry


async def state_at(
    store: EventStore,
    events: EventRegistry,
    kind: AggregateType,
    id_: str,
    *,
    version: int | None = None,
    at: datetime | None = None,
) -> Versioned[AnyAggregate]:
    """Fold the events of an aggregate up to a version, a moment (aware), or its end.

    Raises:
        InvalidId: the id cannot be one.
        StreamNotFound: it has no event, or had none at that moment.
        VersionNotFound: it has fewer events, or ``version`` is below 1.
        CorruptStore: a stored event cannot be read, see ``EventStore.read``.
    """
    stream = StreamId.checked(kind.name, id_)
    state: AnyAggregate = kind.cls()
    reached, occurred = 0, 0
    async for record in store.read(stream, last=version, until=at):
        for event in events.decode_all(record):
            state = state.apply(event)
        reached, occurred = record.version, record.occurred_at_us
    if version is not None and at is None and (version < 1 or reached != version):
        await _refuse_version(store, stream, version)
    if reached == 0:
        raise StreamNotFound(stream, at=at)
    return Versioned(stream, state, reached, occurred)


async def _refuse_version(store: EventStore, stream: StreamId, version: int) -> None:
    head = await store.head(stream)
    if head:
        raise VersionNotFound(stream, version, head)
