"""The past of an aggregate: its state at any version or moment."""

from datetime import datetime

from whence.actors.load import load
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

    A snapshot at or before what is asked for saves reading what it covers.

    Raises:
        InvalidId: the id cannot be one.
        StreamNotFound: it has no event, or had none at that moment.
        VersionNotFound: it has fewer events, or ``version`` is below 1.
        CorruptStore: a stored event cannot be read, see ``EventStore.read``.
    """
    stream = StreamId.checked(kind.name, id_)
    loaded = await load(store, events, kind, stream, last=version, until=at)
    if version is not None and at is None and (version < 1 or loaded.version != version):
        await _refuse_version(store, stream, version)
    if loaded.version == 0:
        raise StreamNotFound(stream, at=at)
    return Versioned(stream, loaded.state, loaded.version, loaded.occurred_at_us)


async def _refuse_version(store: EventStore, stream: StreamId, version: int) -> None:
    head = await store.head(stream)
    if head:
        raise VersionNotFound(stream, version, head)
