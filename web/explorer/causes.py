"""What caused an event: the chain of events behind it, across aggregates."""

import re
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from whence.actors.model import WriteModel
from whence.store.errors import InvalidId
from whence.store.eventstore import EventStore
from whence.store.feed import Span
from whence.store.ids import StreamId
from whence.web.explorer.timeline import Entry, entry

# Links of a chain that are followed: a longer one goes on at the page of its last event.
DEPTH = 5
# A causation id names an event as type/id@version, with its checksum or without it.
_EVENT = re.compile(r"([^/]+)/([^/@]+)@([1-9][0-9]{0,14})(?:#[0-9]+)?")


class Cause(NamedTuple):
    """An event of an aggregate that led to another event."""

    stream: StreamId
    entry: Entry


class _Named(NamedTuple):
    stream: StreamId
    version: int


class Causes:
    """Finds the events that causation ids name."""

    def __init__(self, store: EventStore, model: WriteModel) -> None:
        self._store = store
        self._model = model

    async def of(self, ids: Iterable[str]) -> dict[str, list[Cause]]:
        """For each causation id that names an event of this domain, that event and those behind it.

        What names a command, or an event that is not there, has no entry.

        Raises:
            StoreUnavailable, ServerRefused, CorruptStore: see ``EventStore.read``.
        """
        wanted = set(ids)
        known: dict[str, Cause] = {}
        asked: Collection[str] = wanted
        for _ in range(DEPTH):
            found = await self._read([id_ for id_ in asked if id_ not in known])
            known |= found
            asked = {cause.entry.causation_id for cause in found.values()}
        return {id_: chain for id_ in wanted if (chain := _chain(id_, known))}

    async def _read(self, ids: Sequence[str]) -> dict[str, Cause]:
        named = {id_: event for id_ in ids if (event := self._named(id_)) is not None}
        spans = [Span(event.stream, event.version, event.version) for event in named.values()]
        pages = await self._store.read_many(spans, limit=1)
        return {
            id_: Cause(record.stream, entry(self._model.events, record))
            for id_, page in zip(named, pages, strict=True)
            for record in page
        }

    def _named(self, id_: str) -> _Named | None:
        match = _EVENT.fullmatch(id_)
        if match is None or match[1] not in self._model.aggregates:
            return None
        try:
            return _Named(StreamId.checked(match[1], match[2]), int(match[3]))
        except InvalidId:
            return None


def _chain(id_: str, known: dict[str, Cause]) -> list[Cause]:
    chain: list[Cause] = []
    seen: set[str] = set()
    while id_ in known and id_ not in seen and len(chain) < DEPTH:
        seen.add(id_)
        chain.append(known[id_])
        id_ = known[id_].entry.causation_id
    return chain
