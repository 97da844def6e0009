"""Where a view stands in the log: committed with the view, and only by the lease's owner."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from whence.projections.batch import Change
from whence.projections.lease import Lease
from whence.projections.notes import encode
from whence.store.errors import CorruptStore, LeaseLost, WhenceError
from whence.store.eventstore import EventStore
from whence.store.script import Script, ScriptCall, answers_of, run_scripts
from whence.store.wire import Arg, Command, ServerError, Wire, refusal

_LUA = Path(__file__).parent / "lua"
COMMIT = Script.read(_LUA / "commit.lua")
HALT = Script.read(_LUA / "halt.lua")
CLEAR = Script.read(_LUA / "clear.lua")
DROP = Script.read(_LUA / "drop.lua")


class Checkpoints:
    """The checkpoints of one projection, as the owner of their leases may move them.

    Every method raises ConnectionLost or StoreUnavailable when an answer is lost: then the
    checkpoint may have moved or not, and only a new lease tells.
    """

    # The events of a step should find room in the processor's cache.
    together = 2

    def __init__(self, store: EventStore, projection: str, wire: Wire) -> None:
        self._keys = store.keys
        self._log = store.identity.uuid
        self._projection = projection
        self._where = store.address.shown
        self._wire = wire

    async def take(self, leases: Sequence[Lease]) -> Mapping[int, WhenceError]:
        """Nothing to do: the script that gave a lease has read its checkpoint."""
        return {}

    async def hold(self, leases: Sequence[Lease]) -> Mapping[int, WhenceError]:
        """Nothing to do either."""
        return {}

    async def commit(self, changes: Sequence[tuple[Lease, Change]]) -> list[WhenceError | None]:
        """Move views and checkpoints on, each partition for itself.

        The lease of what was committed stands at its new position, and knows what is parked and
        skipped. Per change: None, LeaseLost when another worker has come since, ServerRefused or
        StoreUnavailable; then nothing was written.
        """
        calls = [self._commit(lease, change) for lease, change in changes]
        outcomes = await self._run([lease for lease, _ in changes], calls)
        for (lease, change), error in zip(changes, outcomes, strict=True):
            if error is None:
                move(lease, change)
        return outcomes

    async def show(self, old: str = "", held: Sequence[Lease] = ()) -> bool:
        """Nothing to do: who reads rows in Redis asks which generation is live."""
        return True

    async def clear(self, live: str, *, keep_skips: bool) -> None:
        """Remove what there may be of this generation; raises ServerRefused as well.

        With ``keep_skips`` it skips what is skipped in the generation ``live``.
        """
        left = list(range(self._keys.partitions))
        while left:
            found = await answers_of(self._wire, self._where, [], then=self._found(left))
            calls = [
                self._clear(n, live, [epoch or "", owner or "", "keep" if keep_skips else "forget"])
                for n, epoch, owner in zip(left, found[::2], found[1::2], strict=True)
            ]
            answers = await answers_of(self._wire, self._where, calls)
            left = [n for n, answer in zip(left, answers, strict=True) if answer[0] == b"fenced"]

    async def drop(self, live: str, hold_ms: int) -> None:
        """Remove all that there is of this generation; raises ServerRefused as well.

        Nobody takes a partition of it for ``hold_ms`` milliseconds: a worker that was paused just
        then would fill keys that nobody looks for.
        """
        calls = [
            ScriptCall(
                DROP,
                [*self._all_keys(n), self._keys.lease(n, self._projection), self._keys.feed(n)],
                [hold_ms, self._projection],
            )
            for n in range(self._keys.partitions)
        ]
        await answers_of(self._wire, self._where, calls)

    async def close(self) -> None:
        """Nothing to do: the wire is the caller's."""

    async def note_failure(self, lease: Lease, failure: str) -> WhenceError | None:
        """Write down why a partition stands still, until its next commit; answers as above."""
        keys = [self._keys.checkpoint(lease.partition, self._projection)]
        (error,) = await self._run([lease], [ScriptCall(HALT, keys, [lease.epoch, failure])])
        return error

    def _found(self, partitions: Sequence[int]) -> list[Command]:
        """Asks for what ``_clear`` has to know: the epoch and the owner of each."""
        commands: list[Command] = []
        for n in partitions:
            commands.append(("HGET", self._keys.checkpoint(n, self._projection), "epoch"))
            commands.append(("GET", self._keys.lease(n, self._projection)))
        return commands

    def _clear(self, partition: int, live: str, args: Sequence[Arg]) -> ScriptCall:
        lease = self._keys.lease(partition, self._projection)
        other = self._keys.skipped(partition, live)
        return ScriptCall(CLEAR, [*self._all_keys(partition), lease, other], args)

    def _all_keys(self, partition: int) -> list[Arg]:
        kinds = (
            self._keys.checkpoint,
            self._keys.view,
            self._keys.parked,
            self._keys.skipped,
            self._keys.asked,
            self._keys.index,
        )
        return [key(partition, self._projection) for key in kinds]

    def _commit(self, lease: Lease, change: Change) -> ScriptCall:
        puts: list[Arg] = []
        deletes: list[Arg] = []
        for key, row in change.rows.items():
            if row is None:
                deletes.append(key)
            else:
                puts += (key, row)
        args: list[Arg] = [
            lease.epoch,
            lease.position,
            change.position,
            change.anchor,
            len(puts) // 2,
            len(deletes),
            len(change.notes),
            len(change.skips),
            len(change.entries.old),
            len(change.entries.new),
            *puts,
            *deletes,
        ]
        for stream, note in change.notes.items():
            args += (str(stream), b"" if note is None else encode(note))
        for event, skip in change.skips.items():
            args += (str(event), encode(skip))
        args += change.entries.old
        for entry in change.entries.new:
            args += (0, entry)  # a score that is the same for all: then they are in their order
        for stream, request in change.answered.items():
            args += (str(stream), request)
        return ScriptCall(COMMIT, self._all_keys(lease.partition), args)

    async def _run(
        self, leases: Sequence[Lease], calls: Sequence[ScriptCall]
    ) -> list[WhenceError | None]:
        answers = await run_scripts(self._wire, calls) if calls else []
        return [
            self._error(lease, call, answer)
            for lease, call, answer in zip(leases, calls, answers, strict=True)
        ]

    def _error(self, lease: Lease, call: ScriptCall, answer: Any) -> WhenceError | None:
        match answer:
            case [b"committed" | b"noted" | b"mirrored"]:
                return None
            case [b"fenced", _, _]:
                return LeaseLost(self._projection, lease.partition)
            case ServerError():
                return refusal(self._where, str(call), answer)
            case _:
                return CorruptStore(f"{call.script.name}.lua answered {answer!r}")


def move(lease: Lease, change: Change) -> None:
    """Let a lease stand where its checkpoint does after a commit of this change."""
    if change.position == lease.position:
        lease.epoch += 1
        lease.fence += 1
    lease.position = change.position
    lease.anchor = change.anchor
    for stream, note in change.notes.items():
        if note is None:
            lease.parked.pop(stream, None)
        else:
            lease.parked[stream] = note
    lease.skipped.update(change.skips)


class Standing(NamedTuple):
    """A checkpoint as anybody may read it. ``failure`` is empty unless the partition is halted."""

    epoch: int
    position: int
    failure: str


STANDING_FIELDS = ("epoch", "position", "failure")


def parse_standing(reply: Sequence[bytes | None]) -> Standing:
    """The reply to HMGET of STANDING_FIELDS; of a view that nobody has begun, all is zero."""
    epoch, position, failure = reply
    return Standing(int(epoch or 0), int(position or 0), (failure or b"").decode())
