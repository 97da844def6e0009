"""Where a reaction stands in the log, and its timers: moved together, by the lease's owner only."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

from whence.projections import checkpoint
from whence.projections.anchor import check_anchors
from whence.projections.batch import Change
from whence.projections.fetch import fetch_all
from whence.projections.holding import NO_ANSWER
from whence.projections.lease import Lease
from whence.projections.notes import encode
from whence.reactions.timer import Timer, TimerId, encode_timer
from whence.store.errors import (
    AnchorMismatch,
    CorruptStore,
    LeaseLost,
    ReactionAstray,
    WhenceError,
)
from whence.store.eventstore import EventStore
from whence.store.feed import Pointer, parse_pointers
from whence.store.script import Script, ScriptCall, answers_of
from whence.store.wire import Arg, Reply, Wire

_LUA = Path(__file__).parent / "lua"
BEGIN = Script.read(_LUA / "begin.lua")
REACT = Script.read(_LUA / "react.lua")
DUE = Script.read(_LUA / "due.lua")
FIRED = Script.read(_LUA / "fired.lua")

# Timers that are looked at together.
DUE_PAGE = 100


class Due(NamedTuple):
    """The timers of a partition that are due, the earliest first, at most DUE_PAGE of them.

    ``now_ms`` is the server's clock, ``head`` the position at which the feed ended then, and
    ``next_ms`` when the first timer is due that is not due yet; None without any. A timer's bytes
    are for ``decode_timer``.
    """

    now_ms: int
    head: int
    next_ms: int | None
    timers: dict[TimerId, bytes]


class Checkpoints:
    """The checkpoints and timers of one reaction.

    Every method but ``note_failure`` raises ConnectionLost or StoreUnavailable when an answer is
    lost: then nobody knows what was written, and only a new lease tells. ServerRefused: the server
    said no.
    """

    def __init__(self, store: EventStore, reaction: str, wire: Wire) -> None:
        self._store = store
        self._keys = store.keys
        self._reaction = reaction
        self._wire = wire
        self._noting = checkpoint.Checkpoints(store, reaction, wire)

    async def begin_now(self) -> None:
        """Give partitions that have no checkpoint one at the end of their feed.

        Raises:
            CorruptStore: the last entry of a feed is none of ours.
        """
        numbers = range(self._keys.partitions)
        known = await self._store.ask_many(
            [("HEXISTS", self._keys.checkpoint(n, self._reaction), "position") for n in numbers]
        )
        new = [n for n, there in zip(numbers, known, strict=True) if not there]
        await self._begin(dict.fromkeys(new, b""), "new")

    async def restart(self) -> None:
        """Set all checkpoints to the end of their feeds; raises as ``begin_now``.

        Events that were not handled until then stay so, parked ones too; timers stay as they are.
        """
        left: Sequence[int] = range(self._keys.partitions)
        while left:
            found = await self._store.ask_many(
                [("HGET", self._keys.checkpoint(n, self._reaction), "epoch") for n in left]
            )
            epochs = {n: epoch or b"" for n, epoch in zip(left, found, strict=True)}
            left = await self._begin(epochs, "again")

    async def _begin(self, epochs: Mapping[int, bytes], mode: str) -> list[int]:
        """Begin in these partitions; those are returned whose epoch is another one by now."""
        heads = await fetch_all(self._store, await self._heads(list(epochs)))
        calls: list[ScriptCall] = []
        for n, epoch in epochs.items():
            events = heads[n]
            if isinstance(events, CorruptStore):
                raise events
            place: list[Arg] = [events[0].position, events[0].anchor] if events else [0, ""]
            keys: list[Arg] = [
                kind(n, self._reaction)
                for kind in (self._keys.checkpoint, self._keys.parked, self._keys.asked)
            ]
            calls.append(ScriptCall(BEGIN, keys, [*place, self._store.identity.uuid, mode, epoch]))
        answers = await self._run(calls)
        return [n for n, answer in zip(epochs, answers, strict=True) if answer[0] == b"fenced"]

    async def check(self, leases: Sequence[Lease]) -> Mapping[int, CorruptStore]:
        """What is wrong, by partition; empty when all stand on events that the log still has.

        There is no rebuild of a reaction, so a mismatch is told in words of its own.
        """
        errors = await check_anchors(self._store, self._reaction, leases)
        return {number: _astray(error) for number, error in errors.items()}

    async def commit(
        self, lease: Lease, change: Change, timers: Mapping[TimerId, Timer | None]
    ) -> None:
        """Move the checkpoint on, with what the handlers want of timers: None cancels one.

        The rows of the change have no meaning here. Afterwards the lease stands where the
        checkpoint does, and knows what is parked and skipped.

        Raises:
            LeaseLost: another worker has come since; nothing was written.
        """
        sets: list[Arg] = []
        cancels: list[Arg] = []
        for timer, command in timers.items():
            if command is None:
                cancels.append(str(timer))
            else:
                sets += (str(timer), command.due_ms, encode_timer(command))
        args: list[Arg] = [
            lease.epoch,
            lease.position,
            change.position,
            change.anchor,
            len(sets) // 3,
            len(cancels),
            len(change.notes),
            len(change.skips),
            *sets,
            *cancels,
        ]
        for stream, note in change.notes.items():
            args += (str(stream), b"" if note is None else encode(note))
        for event, skip in change.skips.items():
            args += (str(event), encode(skip))
        for stream, request in change.answered.items():
            args += (str(stream), request)
        (answer,) = await self._run([ScriptCall(REACT, self._all_keys(lease.partition), args)])
        self._check_fence(lease, answer)
        checkpoint.move(lease, change)

    async def due(self, partition: int, until_ms: int | None = None, after: int = 0) -> Due:
        """The timers that are due at a moment, or by the server's clock, without ``after`` first.

        Raises:
            CorruptStore: the last entry of the feed is none of ours.
        """
        keys = self._keys
        call = ScriptCall(
            DUE,
            [
                keys.due(partition, self._reaction),
                keys.timers(partition, self._reaction),
                keys.feed(partition),
            ],
            ["" if until_ms is None else until_ms, after, DUE_PAGE],
        )
        (answer,) = await self._run([call])
        match answer:
            case [b"due", now, head, following, timers]:
                flat = cast("list[bytes]", timers)
                pointers = parse_pointers(head)
                return Due(
                    int(now),
                    pointers[0].position if pointers else 0,
                    int(float(following)) if following else None,
                    dict(zip(map(TimerId.parse, flat[::2]), flat[1::2], strict=True)),
                )
            case _:
                raise CorruptStore(f"{DUE.name}.lua answered {answer!r}")

    async def fired(self, lease: Lease, timers: Mapping[TimerId, bytes]) -> None:
        """Take timers away whose commands have their answers. Raises LeaseLost as ``commit``."""
        args: list[Arg] = [lease.epoch]
        for timer, command in timers.items():
            args += (str(timer), command)
        keys = self._all_keys(lease.partition)[:3]
        (answer,) = await self._run([ScriptCall(FIRED, keys, args)])
        self._check_fence(lease, answer)

    async def note_failure(self, lease: Lease, failure: str) -> WhenceError | None:
        """Write down why a partition stands still, until its next commit.

        It is None as well when there is no answer: whatever is wrong now, it will be found again.
        """
        try:
            return await self._noting.note_failure(lease, failure)
        except NO_ANSWER:
            return None

    def _all_keys(self, partition: int) -> list[Arg]:
        keys = self._keys
        kinds = (keys.checkpoint, keys.timers, keys.due, keys.parked, keys.skipped, keys.asked)
        return [key(partition, self._reaction) for key in kinds]

    async def _heads(self, partitions: Sequence[int]) -> dict[int, list[Pointer]]:
        replies = await self._store.ask_many(
            [("XREVRANGE", self._keys.feed(n), "+", "-", "COUNT", 1) for n in partitions]
        )
        return {n: parse_pointers(reply) for n, reply in zip(partitions, replies, strict=True)}

    def _check_fence(self, lease: Lease, answer: Any) -> None:
        match answer:
            case [b"committed" | b"removed"]:
                return
            case [b"fenced", _, _]:
                raise LeaseLost(self._reaction, lease.partition, "reaction")
            case _:
                raise CorruptStore(f"a script of {self._reaction} answered {answer!r}")

    async def _run(self, calls: Sequence[ScriptCall]) -> list[Reply]:
        return await answers_of(self._wire, self._store.address.shown, calls)


def _astray(error: CorruptStore) -> CorruptStore:
    if not isinstance(error, AnchorMismatch):
        return error
    return ReactionAstray(error.projection, error.partition, error.position, error.was, error.found)
