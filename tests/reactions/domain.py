"""A small domain for the tests of reactions: tickets that are opened, and a book that is kept.

The book takes every entry, so a command that took effect twice shows in it.
"""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import ClassVar

import anyio

from whence import Aggregate, Domain, Event, Recorded, Rejected, Runtime, command, replace
from whence.projections.settings import WorkerSettings
from whence.projections.status import PartitionStatus, status
from whence.reactions import Reaction, Then, reacts
from whence.reactions.model import ReactionModel
from whence.reactions.worker import ReactionWorker
from whence.store.errors import StreamNotFound
from whence.store.eventstore import EventStore


class TicketOpened(Event):
    minutes: float = 30.0


class TicketTouched(Event):
    pass


class TicketSettled(Event):
    pass


class TicketClosed(Event):
    reason: str


class Ticket(Aggregate[TicketOpened | TicketTouched | TicketSettled | TicketClosed]):
    open: bool = False
    reason: str = ""

    @command
    def begin(self, minutes: float = 30.0) -> TicketOpened:
        return TicketOpened(minutes)

    @command
    def touch(self) -> TicketTouched:
        return TicketTouched()

    @command
    def settle(self) -> TicketSettled:
        return TicketSettled()

    @command
    def close(self, reason: str) -> TicketClosed:
        if not self.open:
            raise Rejected("this ticket is not open")
        return TicketClosed(reason)

    def apply(self, event: TicketOpened | TicketTouched | TicketSettled | TicketClosed) -> "Ticket":
        match event:
            case TicketOpened():
                return replace(self, open=True)
            case TicketTouched():
                return self
            case TicketSettled():
                return replace(self, open=False)
            case TicketClosed(reason):
                return replace(self, open=False, reason=reason)


class EntryWritten(Event):
    text: str


class Book(Aggregate[EntryWritten]):
    entries: tuple[str, ...] = ()

    @command
    def write(self, text: str) -> EntryWritten:
        return EntryWritten(text)

    def apply(self, event: EntryWritten) -> "Book":
        return replace(self, entries=(*self.entries, event.text))


class Clerk(Reaction):
    """Writes each step of a ticket into the book of that ticket; it cannot stand some tickets."""

    broken: ClassVar[frozenset[str]] = frozenset()

    @reacts(TicketOpened)
    def opened(self, event: TicketOpened, record: Recorded, then: Then) -> None:
        self._enter(record, then)

    @reacts(TicketTouched, TicketSettled)
    def moved(self, event: TicketTouched | TicketSettled, record: Recorded, then: Then) -> None:
        self._enter(record, then)

    def _enter(self, record: Recorded, then: Then) -> None:
        if record.id in self.broken:
            raise ArithmeticError(record.id)
        then.send(Book.write, record.id, text=f"{record.version}")


class Deadlines(Reaction):
    """Closes a ticket when its time is up, unless it was settled before."""

    @reacts(TicketOpened)
    def opened(self, event: TicketOpened, record: Recorded, then: Then) -> None:
        delay = timedelta(minutes=event.minutes)
        then.after("limit", delay, Ticket.close, record.id, reason="late")

    @reacts(TicketSettled)
    def settled(self, event: TicketSettled, record: Recorded, then: Then) -> None:
        then.cancel_timer("limit")


domain = Domain(aggregates=[Ticket, Book], reactions=[Clerk, Deadlines])

# As patient as a test: a lease must outlast a slow machine, a look must not.
QUICK = WorkerSettings(lease_ms=3_000, poll_ms=50, retry_ms=20, longest_retry_ms=100)


def only(*reactions: type[Reaction]) -> ReactionModel:
    return ReactionModel(reactions, domain.write_model)


def named(cls: type[Reaction]) -> Reaction:
    return only(cls).reaction(cls.name)


clerk = domain.reactions.reaction("clerk")
deadlines = domain.reactions.reaction("deadlines")


@asynccontextmanager
async def reacting(
    store: EventStore,
    *reactions: type[Reaction],
    settings: WorkerSettings = QUICK,
    runtime: Runtime | None = None,
) -> AsyncGenerator[ReactionWorker]:
    """A worker beside the body of the block, with a runtime of its own; it leaves gracefully.

    It has begun: "now" is not later than the block.
    """
    async with Runtime(store, domain.write_model) as own:
        taker = runtime or own
        model = ReactionModel(reactions, taker.model)
        worker = ReactionWorker(store, taker, model, settings=settings)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(worker.run)
            for reaction in model.reactions.values():
                await until(store, lambda found: all(part.epoch for part in found), reaction)
            yield worker
            tasks.cancel_scope.cancel()


async def until(
    store: EventStore, condition: Callable[[Sequence[PartitionStatus]], bool], reaction: Reaction
) -> Sequence[PartitionStatus]:
    """The standing of a reaction as soon as it is as wanted."""
    with anyio.fail_after(20):
        while not condition(found := await status(store, reaction)):
            await anyio.sleep(0.01)
    return found


async def handled(store: EventStore, reaction: Reaction) -> None:
    """Return when a reaction has no event to go, as the log is then."""
    await until(store, lambda found: not any(part.lag for part in found), reaction)


async def entries(runtime: Runtime, id_: object) -> tuple[str, ...]:
    """What stands in a book."""
    try:
        return (await runtime.get(Book, str(id_))).state.entries
    except StreamNotFound:
        return ()
