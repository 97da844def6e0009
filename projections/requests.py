"""What a person may have done about a parked sequence: try it again, or skip its first event."""

import getpass
import secrets
import socket
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import anyio

from whence.projections.anchor import check_anchors
from whence.projections.lease import Lease, Leases
from whence.projections.ledger import ledger_of
from whence.projections.live import Named
from whence.projections.notes import Note, Request, encode, parse_notes
from whence.projections.projection import Projector
from whence.projections.retries import Retries
from whence.projections.settings import WorkerSettings
from whence.store.address import CALL_TIMEOUT
from whence.store.errors import (
    CorruptStore,
    InvalidInput,
    LeaseLost,
    NotParked,
    StoreUnavailable,
    WhenceError,
    shown,
)
from whence.store.eventstore import EventStore
from whence.store.ids import StreamId
from whence.store.script import Script, ScriptCall, answers_of
from whence.store.wire import ConnectionLost, Wire

ASK = Script.read(Path(__file__).parent / "lua" / "ask.lua")

MAX_REASON = 500

# Seconds between two looks at what became of a request.
_LOOK_EVERY = 0.05


class Answer(NamedTuple):
    """What became of a request.

    "applied": the sequence is in the view; "parked": an event of it failed, and ``note`` says
    which; "open": nobody has done it yet, it stays asked.
    """

    outcome: Literal["applied", "parked", "open"]
    note: Note | None = None


async def retry(
    store: EventStore,
    projection: Named,
    stream: StreamId,
    *,
    by: str = "",
    timeout_s: float = 30.0,
    settings: WorkerSettings | None = None,
) -> Answer:
    """Have a parked sequence applied, from its first event on up to where the feed is.

    The worker that has the partition does it, with the code that it runs; where there is none, it
    is done here, or for a reaction stays asked.

    Args:
        by: who asks; the user of this process unless given.
        timeout_s: how long to wait for the worker; it goes on without being waited for.

    Raises:
        NotParked: nothing of this stream is parked.
        StoreUnavailable, ServerRefused: the server does not answer.
        CorruptStore: the log is not the one that the view was made from.
    """
    desk = _Desk(store, projection, settings or WorkerSettings())
    return await desk.ask(stream, "retry", "", by, timeout_s)


async def skip(
    store: EventStore,
    projection: Named,
    stream: StreamId,
    reason: str,
    *,
    by: str = "",
    timeout_s: float = 30.0,
    settings: WorkerSettings | None = None,
) -> Answer:
    """Do without the event at which a sequence is parked, and have the rest of it applied.

    Who decided that, when and why is kept for good, see ``skipped_events``; the view does without
    the event in a rebuild as well. As ``retry`` otherwise.

    Raises:
        InvalidInput: the reason is empty, too long or no text.
    """
    _check_reason(reason)
    desk = _Desk(store, projection, settings or WorkerSettings())
    return await desk.ask(stream, "skip", reason, by, timeout_s)


class _Desk:
    """Where a request is left, and what is done with it if there is no worker."""

    def __init__(self, store: EventStore, projection: Named, settings: WorkerSettings) -> None:
        self._store = store
        self._projection = projection
        self._settings = settings
        self._wire = store.address.wire()

    async def ask(
        self,
        stream: StreamId,
        action: Literal["retry", "skip"],
        reason: str,
        by: str,
        timeout_s: float,
    ) -> Answer:
        try:
            note = await self._note(stream)
            if note is None:
                raise NotParked(self._projection.kind, self._projection.name, stream)
            request = Request(action, note.version, by or _who(), reason)
            owner = await leave(self._wire, self._store, self._projection, stream, request)
            if not owner and isinstance(self._projection, Projector):
                await self._do(stream, self._projection)
            elif not owner:
                timeout_s = 0.0  # what a reaction asks for is for a worker to send
            return await self._answer(stream, timeout_s)
        except ConnectionLost as error:
            raise StoreUnavailable(self._store.address.shown, str(error)) from error
        finally:
            with anyio.move_on_after(CALL_TIMEOUT, shield=True):
                await self._wire.close()

    async def _do(self, stream: StreamId, projection: Projector) -> None:
        """What a worker would do, unless one has come meanwhile."""
        name = projection.name
        owner = f"{_who()}:{secrets.token_hex(4)}"
        leases = Leases(self._store, name, owner, self._settings.lease_ms, self._wire)
        number = self._store.keys.partition(stream)
        held = await leases.acquire([number])
        try:
            await self._apply(leases, held, projection)
        except LeaseLost:
            return
        finally:
            with anyio.move_on_after(CALL_TIMEOUT, shield=True):
                await leases.release([number])

    async def _apply(self, leases: Leases, held: Sequence[Lease], projection: Projector) -> None:
        ledger = ledger_of(self._store, projection, self._wire)
        try:
            _raise_first(await ledger.take(held))
            _raise_first(await check_anchors(self._store, projection.name, held))
            retries = Retries(self._store, projection, ledger, self._settings)
            await retries.look(held)
            while retries.running:
                _raise_first(await retries.step())
                await leases.renew(held)
        finally:
            await ledger.close()

    async def _answer(self, stream: StreamId, timeout_s: float) -> Answer:
        give_up = time.monotonic() + timeout_s
        key = self._store.keys.asked(self._store.keys.partition(stream), self._projection.name)
        while True:
            # The request first: what a worker does with it is written together with its end.
            asked = await self._store.ask("HEXISTS", key, str(stream))
            note = await self._note(stream)
            if note is None:
                return Answer("applied")
            if not asked and note.attempts:
                return Answer("parked", note)
            if time.monotonic() >= give_up:
                return Answer("open", note)
            await anyio.sleep(_LOOK_EVERY)

    async def _note(self, stream: StreamId) -> Note | None:
        key = self._store.keys.parked(self._store.keys.partition(stream), self._projection.name)
        data = await self._store.ask("HGET", key, str(stream))
        if data is None:
            return None
        ((_, note),) = parse_notes([str(stream).encode(), data]).values()
        return note


async def leave(
    wire: Wire, store: EventStore, projection: Named, stream: StreamId, request: Request
) -> str:
    """Write a request down for the owner of the stream's partition, who is returned; "" for none.

    Raises:
        NotParked: nothing of this stream is parked.
        ConnectionLost, StoreUnavailable, ServerRefused: no answer.
    """
    keys, number, name = store.keys, store.keys.partition(stream), projection.name
    call = ScriptCall(
        ASK,
        [
            keys.lease(number, name),
            keys.parked(number, name),
            keys.asked(number, name),
        ],
        [str(stream), encode(request)],
    )
    (answer,) = await answers_of(wire, store.address.shown, [call])
    match answer:
        case [b"asked", bytes(owner)]:
            return owner.decode()
        case [b"absent"]:
            raise NotParked(projection.kind, name, stream)
        case _:
            raise CorruptStore(f"{ASK.name}.lua answered {answer!r}")


def _check_reason(reason: str) -> None:
    if not 1 <= len(reason.strip()) <= MAX_REASON or not reason.isprintable():
        raise InvalidInput(
            f"{shown(reason)} is not a reason that others can read: write 1 to {MAX_REASON} "
            "characters on one line",
            field="reason",
        )


def _who() -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, as in containers
        user = "someone"
    return f"{user}@{socket.gethostname()}"


def _raise_first(errors: Mapping[int, WhenceError]) -> None:
    for error in errors.values():
        raise error
