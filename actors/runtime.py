"""The runtime: keeps the live actors, and brings each command to its own."""

import asyncio
import itertools
import time
from collections.abc import Callable, Mapping
from hashlib import sha256
from types import TracebackType
from typing import Any, Concatenate, NamedTuple, ParamSpec, Self, TypeVar, cast

import msgspec

from whence.actors.actor import Actor
from whence.actors.aggregate import Decision
from whence.actors.groupcommit import GroupCommit
from whence.actors.history import state_at
from whence.actors.model import AggregateType, AnyAggregate, CommandType, WriteModel
from whence.actors.plan import Job
from whence.actors.receipt import Receipt, Versioned
from whence.actors.snapshots import Snapshots
from whence.store.append import Remember
from whence.store.errors import Conflict, OutcomeUnknown, Rejected, StoreUnavailable
from whence.store.eventstore import EventStore
from whence.store.ids import CommandIds, StreamId, check_id
from whence.store.metadata import NO_METADATA, Metadata

A = TypeVar("A", bound=AnyAggregate)
P = ParamSpec("P")

# Seconds an actor may be idle before it is passivated, and how many may be live.
IDLE_FOR = 300.0
MAX_ACTORS = 100_000
# How many busy actors are passed over to find an idle one.
MAX_LOOKS = 16
# Events of an aggregate after which the next snapshot of its state is due.
SNAPSHOT_EVERY = 500
# Seconds between two looks for idle actors, and to finish what is under way at the end.
SWEEP_EVERY = 5.0
DRAIN_FOR = 20.0
# Seconds for which a caller's command id is remembered: a day.
REMEMBER_FOR = 86_400.0


class CommandRequest(NamedTuple):
    """A command for one aggregate.

    Attributes:
        arguments: by parameter name, already of the right types (``CommandType.decode``).
        expected: the version the caller has seen; None leaves that to the runtime.
        command_id: stored with each of its events; made here if empty. One that the caller gives is
            remembered: the same command again, under the same id, gets the original answer and
            stores nothing. A command that was refused, or decided nothing, is decided anew.
    """

    kind: AggregateType
    command: CommandType
    id: str
    arguments: Mapping[str, Any]
    expected: int | None = None
    command_id: str = ""
    metadata: Metadata = NO_METADATA


class Runtime:
    """Hosts the aggregates of a domain in this process: ``async with Runtime(store, model)``.

    An aggregate becomes an actor when its first command comes, and is passivated when it has been
    idle for a while. Other processes may host the same aggregates: the store's version check keeps
    that correct.

    Args:
        max_actors: how many may be live; the least recently used idle ones go first. Busy actors
            are never passivated, so a burst may exceed it while it lasts.
        idle_for: seconds after which an idle actor is passivated.
        remember_for: seconds for which command ids given by callers are remembered.
        snapshot_every: after how many events of an aggregate a snapshot of its state is kept, so
            that loading takes the time of what came since; 0 means never.
    """

    def __init__(
        self,
        store: EventStore,
        model: WriteModel,
        *,
        max_actors: int = MAX_ACTORS,
        idle_for: float = IDLE_FOR,
        remember_for: float = REMEMBER_FOR,
        snapshot_every: int = SNAPSHOT_EVERY,
    ) -> None:
        self.store = store
        self.model = model
        self._max_actors = max_actors
        self._idle_for = idle_for
        self._remember_for = remember_for
        self._commit = GroupCommit(store)
        self._snapshots = Snapshots(store, snapshot_every)
        self._command_ids = CommandIds()
        # In the order of their last use: the first is the next to be passivated.
        self._actors: dict[StreamId, Actor] = {}
        self._sweeper: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def live_actors(self) -> int:
        return len(self._actors)

    async def send(
        self,
        command: Callable[Concatenate[A, P], Decision],
        id: str,  # noqa: A002  # what a reader of the call expects
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Receipt:
        """Send a command: ``await runtime.send(Order.cancel, "42", reason="late")``.

        Raises:
            InvalidId, UnknownCommand, InvalidEvent: nothing was sent.
            Rejected: the domain said no; nothing was stored.
            Conflict: other processes kept writing first; nothing was stored.
            OutcomeUnknown, StoreUnavailable, ServerRefused: see ``EventStore.append_many``.
        """
        kind, _ = self.model.of_function(command)

        def decide(state: AnyAggregate) -> Decision:
            return command(cast("A", state), *args, **kwargs)

        return await self._post(kind, id, decide)

    async def execute(self, request: CommandRequest) -> Receipt:
        """Send a command that came as data (from HTTP, from a file).

        Raises:
            CommandIdReused: the command id has stored what another command decided.
            Others as ``send``.
        """
        if not request.command_id:
            return await self._ask(request)
        return await self._ask_once(request)

    def _ask(
        self, request: CommandRequest, remember: Remember | None = None
    ) -> asyncio.Future[Receipt]:
        function, arguments = request.command.function, request.arguments

        def decide(state: AnyAggregate) -> Decision:
            return function(state, **arguments)

        return self._post(
            request.kind,
            request.id,
            decide,
            command_id=request.command_id,
            expected=request.expected,
            metadata=request.metadata,
            remember=remember,
        )

    async def _ask_once(self, request: CommandRequest) -> Receipt:
        """Decide unless the command id is remembered, for what it did may now be refused."""
        check_id(request.command_id, field="command id")
        stream = StreamId.checked(request.kind.name, request.id)
        remember = Remember(_body_of(request), int(self._remember_for * 1000))
        known = await self._recalled(stream, request.command_id, remember.body)
        if known is not None:
            return known
        try:
            return await self._ask(request, remember)
        except (Rejected, Conflict):
            # The same command may have been under way elsewhere, and have come first.
            known = await self._recalled(stream, request.command_id, remember.body)
            if known is None:
                raise
            return known

    async def _recalled(self, stream: StreamId, command_id: str, body: str) -> Receipt | None:
        records = await self.store.recall(stream, command_id, body)
        if records is None:
            return None
        return Receipt.repeating(records, self.model.events)

    async def get(self, aggregate: type[A], id: str) -> Versioned[A]:  # noqa: A002
        """The state of an aggregate as the log has it now.

        Raises:
            StreamNotFound: it has no event.
        """
        kind = self.model.of_class(aggregate)
        return cast("Versioned[A]", await state_at(self.store, self.model.events, kind, id))

    def _post(
        self,
        kind: AggregateType,
        id_: str,
        decide: Callable[[AnyAggregate], Decision],
        *,
        command_id: str = "",
        expected: int | None = None,
        metadata: Metadata = NO_METADATA,
        remember: Remember | None = None,
    ) -> asyncio.Future[Receipt]:
        if self._closed:
            raise StoreUnavailable(self.store.address.shown, "this process is shutting down")
        actor = self._actor(kind, StreamId(kind.name, check_id(id_)))
        # The caller only waits for it: when it goes away, the actor still finishes the command.
        done: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()
        command_id = command_id or self._command_ids.next()
        actor.post(Job(decide, command_id, expected, metadata, remember, done))
        return done

    def _actor(self, kind: AggregateType, stream: StreamId) -> Actor:
        actor = self._actors.pop(stream, None)
        if actor is None:
            self._make_room()
            actor = Actor(
                stream, kind, self.model.events, self.store, self._commit, self._snapshots
            )
        actor.last_used = time.monotonic()
        self._actors[stream] = actor
        return actor

    def _make_room(self) -> None:
        """Passivate idle actors until there is room; the least recently used ones are looked at."""
        excess = len(self._actors) + 1 - self._max_actors
        if excess <= 0:
            return
        oldest = itertools.islice(self._actors.items(), excess + MAX_LOOKS)
        idle = [stream for stream, actor in oldest if not actor.busy]
        for stream in idle[:excess]:
            del self._actors[stream]

    def _passivate_idle(self) -> None:
        too_long_ago = time.monotonic() - self._idle_for
        for stream, actor in list(self._actors.items()):
            if actor.last_used > too_long_ago:
                return
            if not actor.busy:
                del self._actors[stream]

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(min(SWEEP_EVERY, self._idle_for))
            self._passivate_idle()

    async def __aenter__(self) -> Self:
        self._sweeper = asyncio.create_task(self._sweep())
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Take no more commands, and finish those under way (at most 20 seconds).

        Who still waits then gets OutcomeUnknown.
        """
        self._closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
        idle = [asyncio.create_task(actor.idle()) for actor in self._actors.values() if actor.busy]
        if idle:
            await asyncio.wait(idle, timeout=DRAIN_FOR)
        for waiting in idle:
            waiting.cancel()
        for actor in self._actors.values():
            actor.abandon(OutcomeUnknown(str(actor.stream), "this process has ended"))
        self._actors.clear()
        await self._snapshots.close()


def _body_of(request: CommandRequest) -> str:
    """A fingerprint of what a command asks for: its name and arguments."""
    asked = (request.command.name, request.arguments)
    return sha256(msgspec.json.encode(asked, order="deterministic")).hexdigest()[:32]
