"""The runtime: keeps the live actors, and brings each command to its own."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Concatenate, ParamSpec, Self, TypeVar, cast

from whence.actors.actor import Actor
from whence.actors.aggregate import Decision
from whence.actors.context import current_metadata
from whence.actors.groupcommit import GroupCommit
from whence.actors.metrics import Meters, Metrics
from whence.actors.middleware import Middleware, chain
from whence.actors.model import AggregateType, AnyAggregate, WriteModel
from whence.actors.passivation import IDLE_FOR, MAX_ACTORS, MAX_BYTES, Limits, LiveActors
from whence.actors.plan import Job
from whence.actors.reads import Reads, shutting_down
from whence.actors.receipt import Receipt, Versioned
from whence.actors.request import CommandRequest
from whence.actors.snapshots import Snapshots
from whence.store.append import Remember
from whence.store.errors import Conflict, OutcomeUnknown, Rejected
from whence.store.eventstore import EventStore
from whence.store.ids import CommandIds, StreamId, check_id
from whence.store.metadata import NO_METADATA, Metadata

A = TypeVar("A", bound=AnyAggregate)
P = ParamSpec("P")

# Events of an aggregate after which the next snapshot of its state is due.
SNAPSHOT_EVERY = 500
# Seconds to finish what is under way at the end.
DRAIN_FOR = 20.0
# Seconds for which a caller's command id is remembered: a day.
REMEMBER_FOR = 86_400.0


class Runtime:
    """Hosts the aggregates of a domain in this process: ``async with Runtime(store, model)``.

    An aggregate becomes an actor when its first command comes, and is passivated when it has been
    idle for a while. Other processes may host the same aggregates: the store's version check keeps
    that correct.

    Args:
        max_actors: how many may be live; the least recently used idle ones go first. Busy actors
            are never passivated, so a burst may exceed it while it lasts.
        max_bytes: what live actors and their states may take, by an estimate; as with
            ``max_actors``.
        idle_for: seconds after which an idle actor is passivated.
        remember_for: seconds for which command ids given by callers are remembered.
        snapshot_every: after how many events of an aggregate a snapshot of its state is kept, so
            that loading takes the time of what came since; 0 means never.
        middleware: what happens around each command, the first one listed outermost.
    """

    def __init__(
        self,
        store: EventStore,
        model: WriteModel,
        *,
        max_actors: int = MAX_ACTORS,
        max_bytes: int = MAX_BYTES,
        idle_for: float = IDLE_FOR,
        remember_for: float = REMEMBER_FOR,
        snapshot_every: int = SNAPSHOT_EVERY,
        middleware: Sequence[Middleware] = (),
    ) -> None:
        self.store = store
        self.model = model
        self._remember_for = remember_for
        self._meters = Meters(model.aggregates)
        self._commit = GroupCommit(store, self._meters.call_appends)
        self._snapshots = Snapshots(store, snapshot_every)
        self._command_ids = CommandIds()
        limits = Limits(max_actors, max_bytes, idle_for)
        self._live = LiveActors(self._make_actor, limits, self._meters)
        self._weigh = self._live.weigh  # one bound method for all actors
        self._reads = Reads(store, model.events, self._live, self._meters.look_streams)
        self._outermost = chain(middleware, self._perform) if middleware else None
        self._sweeper: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def live_actors(self) -> int:
        return len(self._live)

    def metrics(self) -> Metrics:
        """What this runtime has done since it began, and what it holds now."""
        meters = self._meters
        return Metrics(self._live.shown(), meters.call_appends.shown(), meters.look_streams.shown())

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
            Whatever a middleware raises.
        """
        kind, spec = self.model.of_function(command)
        metadata = current_metadata()
        if self._outermost is not None:
            arguments = spec.named(args, kwargs)
            return await self._outermost(
                CommandRequest(kind, spec, id, arguments, metadata=metadata)
            )

        def decide(state: AnyAggregate) -> Decision:
            return command(cast("A", state), *args, **kwargs)

        return await self._counted(kind, self._post(kind, id, decide, metadata=metadata))

    async def execute(self, request: CommandRequest) -> Receipt:
        """Send a command that came as data (from HTTP, from a file).

        Raises:
            CommandIdReused: the command id has stored what another command decided.
            Others as ``send``.
        """
        metadata = request.metadata.or_else(current_metadata())
        if metadata is not request.metadata:
            request = request._replace(metadata=metadata)
        if self._outermost is not None:
            return await self._outermost(request)
        return await self._perform(request)

    async def _perform(self, request: CommandRequest) -> Receipt:
        """What is inside of all middleware."""
        ask = self._ask_once if request.command_id else self._ask
        return await self._counted(request.kind, ask(request))

    async def _counted(self, kind: AggregateType, answer: Awaitable[Receipt]) -> Receipt:
        meter = self._meters.types[kind.name]
        try:
            receipt = await answer
        except BaseException as error:  # whatever it is, the caller gets it
            meter.refused(error)
            raise
        meter.answered(receipt)
        return receipt

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
        remember = Remember(request.fingerprint, int(self._remember_for * 1000))
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

    async def get(
        self,
        aggregate: type[A],
        id: str,  # noqa: A002
        *,
        stale_ok: bool = False,
    ) -> Versioned[A]:
        """The state of an aggregate, with every event that any process had stored before the call.

        Args:
            stale_ok: a state that is in memory is good enough; what other processes have stored
                since may be missing.

        Raises:
            InvalidId, UnknownAggregate
            StreamNotFound: it has no event.
            StoreUnavailable, ServerRefused: the server cannot be read.
            CorruptStore: a stored event cannot be read, or events vanished.
        """
        kind = self.model.of_class(aggregate)
        stream = StreamId(kind.name, check_id(id))
        return cast("Versioned[A]", await self._reads.get(kind, stream, stale_ok=stale_ok))

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
            raise shutting_down(self.store)
        actor = self._live.use(kind, StreamId(kind.name, check_id(id_)))
        # The caller only waits for it: when it goes away, the actor still finishes the command.
        done: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()
        command_id = command_id or self._command_ids.next()
        actor.post(Job(decide, command_id, expected, metadata, remember, done))
        return done

    def _make_actor(self, kind: AggregateType, stream: StreamId) -> Actor:
        return Actor(
            stream,
            kind,
            self.model.events,
            self.store,
            self._commit,
            self._snapshots,
            self._meters.types[kind.name],
            self._weigh,
        )

    async def __aenter__(self) -> Self:
        self._sweeper = asyncio.create_task(self._live.sweep())
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
        await self._reads.close()
        idle = [asyncio.create_task(actor.idle()) for actor in self._live if actor.busy]
        if idle:
            await asyncio.wait(idle, timeout=DRAIN_FOR)
        for waiting in idle:
            waiting.cancel()
        for actor in self._live:
            actor.abandon(OutcomeUnknown(str(actor.stream), "this process has ended"))
        self._live.clear()
        await self._snapshots.close()
