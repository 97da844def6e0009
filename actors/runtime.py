"""The runtime: keeps the live actors, and brings each command to its own."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Concatenate, ParamSpec, Self, TypeVar, cast

from whence.actors.actor import Actor, Surroundings
from whence.actors.aggregate import Decision
from whence.actors.capacity import Capacity
from whence.actors.context import current_metadata
from whence.actors.deadline import Deadline
from whence.actors.groupcommit import GroupCommit
from whence.actors.metrics import Meters, Metrics
from whence.actors.middleware import Middleware, chain
from whence.actors.model import AggregateType, AnyAggregate, WriteModel
from whence.actors.passivation import IDLE_FOR, MAX_ACTORS, MAX_BYTES, Limits, LiveActors
from whence.actors.plan import Job
from whence.actors.reads import Reads, shutting_down
from whence.actors.receipt import Receipt, Versioned
from whence.actors.request import CommandRequest
from whence.actors.sender import Sender
from whence.actors.snapshots import Snapshots
from whence.store.append import Remember
from whence.store.errors import Conflict, DeadlineExceeded, Rejected, WhenceError
from whence.store.eventstore import EventStore
from whence.store.ids import CommandIds, StreamId, check_id
from whence.store.metadata import NO_METADATA, Metadata

__all__ = ["CommandRequest", "Runtime"]

A = TypeVar("A", bound=AnyAggregate)
P = ParamSpec("P")

# Commands that may wait for their answers: of one aggregate, and of all.
MAX_WAITING_EACH = 1_000
MAX_WAITING = 50_000
# How often a command is decided because another process wrote first. One was seen to lose 40 times
# running; each of those times is progress for somebody.
MAX_ATTEMPTS = 100
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
        max_waiting: how many commands may wait for their answers; with one more, its caller gets
            Overloaded at once.
        max_waiting_each: the same for each aggregate.
        max_attempts: how often a command is decided, when other processes keep writing first.
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
        max_waiting: int = MAX_WAITING,
        max_waiting_each: int = MAX_WAITING_EACH,
        max_attempts: int = MAX_ATTEMPTS,
        middleware: Sequence[Middleware] = (),
    ) -> None:
        self.store = store
        self.model = model
        self.remember_for = remember_for
        self._capacity = Capacity(max_waiting_each, max_waiting)
        self._meters = Meters(model.aggregates)
        self._snapshots = Snapshots(store, snapshot_every)
        limits = Limits(max_actors, max_bytes, idle_for)
        self._live = LiveActors(self._make_actor, limits, self._meters)
        self._around = Surroundings(
            store,
            model.events,
            GroupCommit(store, self._meters.call_appends, self._capacity.held),
            self._snapshots,
            self._capacity,
            self._meters,
            max_attempts,
            self._live.weigh,
        )
        self._command_ids = CommandIds()
        self._reads = Reads(store, model.events, self._live, self._meters.look_streams)
        self._outermost = chain(middleware, self._perform) if middleware else None
        self._sweeper: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def live_actors(self) -> int:
        return len(self._live)

    @property
    def has_middleware(self) -> bool:
        """Whether something happens around each command, which may take its time."""
        return self._outermost is not None

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

        A caller who is cancelled while it waits does not cancel the command.

        Raises:
            InvalidId, UnknownCommand, InvalidEvent: nothing was sent.
            Rejected: the domain said no; nothing was stored.
            Conflict: other processes kept writing first; nothing was stored.
            Overloaded: too many commands wait already; nothing was taken.
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

        meter = self._meters.types[kind.name]
        try:
            receipt = await self._post(kind, id, decide, metadata=metadata)
        except BaseException as error:  # whatever it is, the caller gets it
            meter.refused(error)
            raise
        meter.answered(receipt)
        return receipt

    def options(
        self,
        *,
        expected: int | None = None,
        within: float | None = None,
        command_id: str = "",
        metadata: Metadata = NO_METADATA,
    ) -> Sender:
        """To ``send`` with more said: ``runtime.options(within=2).send(Order.cancel, "42", ...)``.

        Args:
            expected: the version the caller has seen: at any other the command is a Conflict.
            within: seconds in which the command has to be decided, or else it is dropped.
            command_id: makes it safe to repeat.
            metadata: stored with each of its events.

        ``CommandRequest`` says more about them.
        """
        return Sender(
            self.model,
            self.execute,
            expected=expected,
            within=within,
            command_id=command_id,
            metadata=metadata,
        )

    async def execute(self, request: CommandRequest) -> Receipt:
        """Send a command that came as data (from HTTP, from a file).

        Raises:
            CommandIdReused: the command id has stored what another command decided.
            DeadlineExceeded: it was not decided in time, and was dropped.
            Conflict: also if the aggregate is at another version than the one expected.
            Others as ``send``.
        """
        request = _in_context(request)
        if self._outermost is not None:
            return await self._outermost(request)
        return await self._perform(request)

    def post(self, request: CommandRequest) -> asyncio.Future[Receipt]:
        """``execute``, for who sends many commands and waits for all of them: none needs a task.

        What would have to wait before it is sent is not for this: a request with a command id of
        its own, and any one where there is middleware. Some errors are raised, others come with the
        future; those are the same.
        """
        assert not request.command_id, "whether it is remembered has to be looked up"
        assert self._outermost is None, "middleware may take its time"
        meter = self._meters.types[request.kind.name]
        try:
            receipt = self._ask(_in_context(request), self._decide_by(request))
        except WhenceError as error:
            meter.refused(error)
            raise
        receipt.add_done_callback(meter.settled)
        return receipt

    async def _perform(self, request: CommandRequest) -> Receipt:
        """What is inside of all middleware."""

        meter = self._meters.types[request.kind.name]
        try:
            decide_by = self._decide_by(request)
            ask = self._ask_once if request.command_id else self._ask
            receipt = await ask(request, decide_by)
        except BaseException as error:  # whatever it is, the caller gets it
            meter.refused(error)
            raise
        meter.answered(receipt)
        return receipt

    def _decide_by(self, request: CommandRequest) -> float | None:
        """The deadline of a request by the clock of the event loop."""
        if request.within is None:
            return None
        if not request.within > 0:  # nor is NaN
            raise DeadlineExceeded(StreamId.checked(request.kind.name, request.id))
        return asyncio.get_running_loop().time() + request.within

    def _ask(
        self, request: CommandRequest, decide_by: float | None, remember: Remember | None = None
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
            decide_by=decide_by,
        )

    async def _ask_once(self, request: CommandRequest, decide_by: float | None) -> Receipt:
        """Decide unless the command id is remembered, for what it did may now be refused."""
        check_id(request.command_id, field="command id")
        stream = StreamId.checked(request.kind.name, request.id)
        remember = Remember(request.fingerprint, int(self.remember_for * 1000))
        try:
            async with asyncio.timeout_at(decide_by):
                known = await self._recalled(stream, request.command_id, remember.body)
        except TimeoutError:
            raise DeadlineExceeded(stream) from None
        if known is not None:
            return known
        try:
            return await self._ask(request, decide_by, remember)
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
        decide_by: float | None = None,
    ) -> asyncio.Future[Receipt]:
        if self._closed:
            raise shutting_down(self.store)
        actor = self._live.peek((kind.name, id_))
        stream = StreamId(kind.name, check_id(id_)) if actor is None else actor.stream
        self._capacity.take(stream, 0 if actor is None else actor.waiting)
        # The caller only waits for it: when it goes away, the actor still finishes the command.
        done: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()
        deadline = None if decide_by is None else Deadline(stream, done, decide_by)
        command_id = command_id or self._command_ids.next()
        job = Job(decide, command_id, expected, metadata, remember, done, deadline)
        if actor is None:
            actor = self._live.use(kind, stream)
        else:
            self._live.touch(actor)
        actor.post(job)
        return done

    def _make_actor(self, kind: AggregateType, stream: StreamId) -> Actor:
        return Actor(stream, kind, self._around)

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

        Who still waits then gets StoreUnavailable, or OutcomeUnknown if the command may have been
        sent.
        """
        self._closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
        await self._reads.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_FOR):
                await self._capacity.emptied()
        for actor in self._live:
            actor.abandon()
        self._live.clear()
        await self._snapshots.close()


def _in_context(request: CommandRequest) -> CommandRequest:
    """The request with what the present ``request_context`` says about all commands."""
    metadata = request.metadata.or_else(current_metadata())
    return request if metadata is request.metadata else request._replace(metadata=metadata)
