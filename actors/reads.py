"""Reads: the newest state of aggregates, for many readers with few looks at the server."""

import asyncio
from collections.abc import Coroutine, Sequence
from itertools import islice
from typing import NamedTuple

from whence.actors.actor import Actor
from whence.actors.fold import fold
from whence.actors.load import FIRST_PAGE, Loaded, load
from whence.actors.metrics import Histogram
from whence.actors.model import AggregateType, AnyAggregate
from whence.actors.passivation import LiveActors
from whence.actors.receipt import Versioned
from whence.store.errors import (
    CorruptStore,
    ServerRefused,
    StoreUnavailable,
    StreamNotFound,
    StreamVanished,
)
from whence.store.eventstore import EventStore
from whence.store.feed import END, Span
from whence.store.ids import StreamId
from whence.store.recorded import Recorded
from whence.store.registry import EventRegistry
from whence.store.wire import ServerError, refusal

State = Versioned[AnyAggregate]

STREAMS_PER_LOOK = 128


class _Asked(NamedTuple):
    """An aggregate, and those who wait for its state."""

    kind: AggregateType
    stream: StreamId
    readers: list[asyncio.Future[State]]


class Reads:
    """Answers readers with a state that has every event stored before they asked.

    All who wait share a look: one round trip asks for the lengths of the streams that are live, and
    a second one, where it is needed, reads what is missing. Who comes while a look is under way
    waits for the next one, for this one may have passed the server already. The state in a live
    actor is always stored state, and what is missing is applied beside the actor, so that a reader
    never waits for a mailbox.

    Args:
        look_streams: is told how many aggregates each look asks about.
    """

    def __init__(
        self,
        store: EventStore,
        events: EventRegistry,
        live: LiveActors,
        look_streams: Histogram,
    ) -> None:
        self._store = store
        self._events = events
        self._live = live
        self._look_streams = look_streams
        self._waiting: dict[StreamId, _Asked] = {}
        # Aggregates that take more than a page: who comes meanwhile waits, instead of loading too.
        self._loading: dict[StreamId, _Asked] = {}
        self._looking = False
        self._tasks: set[asyncio.Task[None]] = set()  # the event loop holds tasks only weakly
        self._unanswered: set[asyncio.Future[State]] = set()
        self._closed = False

    async def get(self, kind: AggregateType, stream: StreamId, *, stale_ok: bool) -> State:
        """The state of an aggregate; see ``Runtime.get``."""
        if self._closed:
            raise shutting_down(self._store)
        if stale_ok:
            actor = self._live.find(stream)
            if actor is not None and actor.version:
                return _state_of(actor)
        reader: asyncio.Future[State] = asyncio.get_running_loop().create_future()
        self._unanswered.add(reader)
        self._ask(_Asked(kind, stream, [reader]))
        try:
            return await reader
        finally:
            self._unanswered.discard(reader)

    def _ask(self, asked: _Asked) -> None:
        """Put readers in line for the next look."""
        line = self._loading if asked.stream in self._loading else self._waiting
        known = line.setdefault(asked.stream, asked)
        if known is not asked:
            known.readers.extend(asked.readers)
        if self._waiting and not self._looking:
            self._looking = True
            self._start(self._work())

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _work(self) -> None:
        """Look until nobody waits."""
        try:
            while self._waiting:
                streams = list(islice(self._waiting, STREAMS_PER_LOOK))
                group = [self._waiting.pop(stream) for stream in streams]
                self._look_streams.add(len(group))
                try:
                    await self._read(await self._look(group))
                except Exception as error:  # it belongs to the readers
                    for asked in group:
                        _refuse(asked, error)
        finally:
            self._looking = False

    async def _look(self, group: Sequence[_Asked]) -> list[_Asked]:
        """Answer those whose live state has all that the log has; returns the others."""
        behind: list[_Asked] = []
        looks: list[tuple[_Asked, int]] = []
        for asked in group:
            actor = self._live.find(asked.stream)
            if actor is not None and actor.version:
                looks.append((asked, actor.version))
            else:
                behind.append(asked)
        # Versions are contiguous and nothing is ever trimmed: the length is the newest version.
        keys = self._store.keys
        lengths = await self._store.replies([("XLEN", keys.stream(a.stream)) for a, _ in looks])
        for (asked, version), length in zip(looks, lengths, strict=True):
            if isinstance(length, ServerError):
                where = self._store.address.shown
                _refuse(asked, refusal(where, f"to read {asked.stream}", length))
            elif length < version:
                _refuse(asked, StreamVanished(asked.stream, version, length))
            elif not self._answered(asked, length):
                behind.append(asked)
        return behind

    def _answered(self, asked: _Asked, head: int) -> bool:
        """Answer from the live state, if it has come to this version."""
        actor = self._live.peek(asked.stream)
        if actor is None or actor.version < head:
            return False
        _answer(asked, _state_of(actor))
        return True

    async def _read(self, behind: Sequence[_Asked]) -> None:
        """Read what is missing, and answer; what takes more than a page goes on by itself."""
        held = [self._held(asked) for asked in behind]
        spans = [Span(one.stream, one.version + 1, END) for one in held]
        try:
            pages = await self._store.read_many(spans, limit=FIRST_PAGE)
        except (CorruptStore, ServerRefused):  # of one of them: each alone tells which
            for asked in behind:
                self._load_alone(asked)
            return
        for asked, before, page in zip(behind, held, pages, strict=True):
            if len(page) == FIRST_PAGE:
                self._load_alone(asked)
            else:
                self._caught_up(asked, before, page)

    def _held(self, asked: _Asked) -> Loaded:
        actor = self._live.peek(asked.stream)
        if actor is None or not actor.version:
            return Loaded(asked.stream, asked.kind.cls())
        return Loaded(actor.stream, actor.state, actor.version, actor.occurred_at_us)

    def _caught_up(self, asked: _Asked, before: Loaded, page: Sequence[Recorded]) -> None:
        found = before
        try:
            if page:
                state, last = fold(self._events, before.state, page), page[-1]
                found = Loaded(before.stream, state, last.version, last.occurred_at_us)
        except Exception as error:  # an event that cannot be read, or applied
            _refuse(asked, error)
        else:
            self._found(asked, found)

    def _load_alone(self, asked: _Asked) -> None:
        later = self._loading.get(asked.stream)
        if later is not None:
            later.readers.extend(asked.readers)
            return
        self._loading[asked.stream] = asked._replace(readers=[])
        self._start(self._load(asked))

    async def _load(self, asked: _Asked) -> None:
        try:
            self._found(asked, await load(self._store, self._events, asked.kind, asked.stream))
        except Exception as error:  # it belongs to the readers
            _refuse(asked, error)
        finally:
            later = self._loading.pop(asked.stream)
            if later.readers and not self._closed:
                self._ask(later)

    def _found(self, asked: _Asked, found: Loaded) -> None:
        """Answer, and keep the state for commands and readers to come."""
        if found.version == 0:
            _refuse(asked, StreamNotFound(asked.stream))
            return
        self._live.use(asked.kind, asked.stream).adopt(found)
        _answer(asked, Versioned(found.stream, found.state, found.version, found.occurred_at_us))

    async def close(self) -> None:
        """Take no more readers, and end; who still waits gets StoreUnavailable."""
        self._closed = True
        for task in self._tasks:
            task.cancel()
        for reader in self._unanswered:
            if not reader.done():
                reader.set_exception(shutting_down(self._store))
        await asyncio.gather(*self._tasks, return_exceptions=True)


def shutting_down(store: EventStore) -> StoreUnavailable:
    """What a caller gets who comes too late."""
    return StoreUnavailable(store.address.shown, "this process is shutting down")


def _state_of(actor: Actor) -> State:
    return Versioned(actor.stream, actor.state, actor.version, actor.occurred_at_us)


def _answer(asked: _Asked, state: State) -> None:
    for reader in asked.readers:
        if not reader.done():  # it may have gone
            reader.set_result(state)


def _refuse(asked: _Asked, error: Exception) -> None:
    for reader in asked.readers:
        if not reader.done():
            reader.set_exception(error)
