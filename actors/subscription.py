"""Subscribing to the events of a domain: decoded, of chosen types, from any position on."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from types import TracebackType
from typing import Generic, NamedTuple, Self, TypeVar, cast

from whence.actors.model import WriteModel
from whence.store.errors import InvalidInput, shown
from whence.store.events import Event
from whence.store.eventstore import EventStore
from whence.store.feed import Pointer
from whence.store.follow import follow_pointers, merged, starting
from whence.store.recorded import Recorded

E = TypeVar("E", bound=Event)


class Seen(NamedTuple, Generic[E]):
    """An event as it is read today, and as it stands in the log."""

    event: E
    record: Recorded


class Subscription(Generic[E]):
    """The events of a domain as they come: ``async with`` it, then ``async for event, record``.

    First what is there, then each new event, each once, in the order of ``whence.store.follow``. It
    never ends by itself. Events of aggregates that emit none of the types are not fetched, and
    those of other types are not decoded.

    Args:
        types: which events; all unless given. An event that was stored in an older form counts as
            what it is today.
        partitions: which ones; all unless given.
        after: the ``positions`` of an earlier subscription; from the first event on unless given.

    Raises:
        InvalidInput: no aggregate of the domain emits one of the types.

    Iterating raises:
        StoreUnavailable, ServerRefused: the server cannot be read; subscribe again from
            ``positions``.
        UnknownEventType, UpcastFailed: an event that may be one of them cannot be read here.
        CorruptStore: the log contradicts itself.
    """

    def __init__(
        self,
        store: EventStore,
        model: WriteModel,
        *types: type[E],
        partitions: Sequence[int] | None = None,
        after: Mapping[int, int] | None = None,
    ) -> None:
        for cls in types:
            if model.events.types.get(getattr(cls, "__name__", "")) is not cls:
                raise InvalidInput(
                    f"{shown(cls)} is none of the events of this domain: "
                    f"{', '.join(model.events.types)}"
                )
        self._store = store
        self._registry = model.events
        self._wanted = frozenset[type[Event]](types or model.events.types.values())
        self._passed_over = model.events.passed_over(self._wanted)
        kinds = model.aggregates.values()
        self._aggregates = {kind.name for kind in kinds if kind.events & self._wanted}
        self._positions = starting(store, partitions, after)
        self._read_to = dict(self._positions)
        self._events = self._follow()

    @property
    def positions(self) -> dict[int, int]:
        """Where to go on, by partition: behind the event that came last.

        They pass what is not subscribed to as well, so a rare type need not be searched for again.
        Keep them once that event is dealt with.
        """
        return dict(self._positions)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._events.aclose()

    def __aiter__(self) -> AsyncGenerator[Seen[E]]:
        return self._events

    async def _follow(self) -> AsyncGenerator[Seen[E]]:
        async with aclosing(follow_pointers(self._store, self._read_to)) as pages:
            async for pointers in pages:
                wanted = [one for one in pointers if one.stream.type in self._aggregates]
                for record in merged(await self._store.fetch(wanted)):
                    seen = self._seen(record)
                    for one in seen[:-1]:  # a record may have become several events
                        yield one
                    self._positions[record.partition] = record.position
                    for one in seen[-1:]:
                        yield one
                self._pass(pointers)

    def _seen(self, record: Recorded) -> list[Seen[E]]:
        if record.type in self._passed_over:
            return []
        events = [e for e in self._registry.decode_all(record) if type(e) in self._wanted]
        return [Seen(cast("E", event), record) for event in events]

    def _pass(self, pointers: Sequence[Pointer]) -> None:
        for pointer in pointers:
            number = self._store.keys.partition(pointer.stream)
            self._read_to[number] = self._positions[number] = pointer.position
