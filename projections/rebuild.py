"""Making a view anew from the first event on, while its workers wait."""

import itertools
import secrets
import time
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import anyio

from whence.projections.advance import Advance
from whence.projections.lease import Lease, Leases
from whence.projections.ledger import ledger_of
from whence.projections.projection import Projector
from whence.projections.settings import WorkerSettings
from whence.store.address import CALL_TIMEOUT
from whence.store.errors import (
    CorruptStore,
    ServerRefused,
    StoreUnavailable,
    WhenceError,
)
from whence.store.eventstore import EventStore
from whence.store.feed import Pointer, check_contiguous, parse_pointers
from whence.store.ids import entry_id
from whence.store.wire import ConnectionLost

# Called with the number of events done and the number of all.
Progress = Callable[[int, int], None]

# Partitions that move on together: so many that round trips are few, so few that one step is short
# beside a lease.
_TOGETHER = 16


class RebuildReport(NamedTuple):
    """``events`` were applied in ``seconds``, but for those of ``parked`` aggregates."""

    events: int
    seconds: float
    parked: int


async def rebuild(
    store: EventStore,
    projection: Projector,
    *,
    progress: Progress | None = None,
    settings: WorkerSettings | None = None,
    forget_skips: bool = False,
) -> RebuildReport:
    """Empty a view and apply every event to it again, up to the head of the log as it is now.

    It takes all partitions over from the workers, which stand by meanwhile and go on where it ends.
    Readers see the view grow. What was parked is tried again and may be parked anew; what a person
    has skipped stays skipped, unless ``forget_skips``. When it is stopped or fails in between,
    nothing is wrong: the workers apply what is missing.

    Raises:
        ProjectionFailed, CorruptStore: an event can neither be applied nor parked; its partition
            ends before it.
        LeaseLost: another rebuild has begun.
        StoreUnavailable, ServerRefused: the server does not answer.
    """
    began = time.monotonic()
    replay = _Replay(store, projection, settings or WorkerSettings())
    try:
        events = await replay.run(progress, forget_skips=forget_skips)
    except ConnectionLost as error:
        raise StoreUnavailable(store.address.shown, str(error)) from error
    finally:
        with anyio.move_on_after(CALL_TIMEOUT, shield=True):
            await replay.close()
    return RebuildReport(events, time.monotonic() - began, replay.parked)


class _Replay:
    """The partitions that still have to be replayed, all under leases of this rebuild's own."""

    def __init__(self, store: EventStore, projection: Projector, settings: WorkerSettings) -> None:
        name = projection.name
        self._store = store
        self._batch = settings.batch
        self._renew_every = settings.lease_ms / 3000
        self._wire = store.address.wire()
        owner = f"rebuild:{secrets.token_hex(4)}"
        self._leases = Leases(store, name, owner, settings.lease_ms, self._wire)
        self._ledger = ledger_of(store, projection, self._wire)
        self._advance = Advance(store, projection, self._ledger, settings)
        self.parked = 0
        self._held: dict[int, Lease] = {}
        self._heads: dict[int, int] = {}

    async def run(self, progress: Progress | None, *, forget_skips: bool) -> int:
        partitions = range(self._store.keys.partitions)
        heads = await self._store.feed_heads(partitions)
        self._heads = dict(zip(partitions, heads, strict=True))
        leases = await self._leases.acquire(partitions, force=True)
        self._held = {lease.partition: lease for lease in leases}
        _raise_first((await self._ledger.take(leases, anew=True)).values())
        _raise_first(await self._ledger.reset(leases, forget_skips=forget_skips))
        done = 0
        renew_at = time.monotonic() + self._renew_every
        while self._held:
            done += await self._step()
            if progress is not None:
                progress(done, sum(heads))
            if time.monotonic() >= renew_at:
                # A lease that was lost shows at the commit, which is fenced.
                await self._leases.renew(list(self._held.values()))
                renew_at = time.monotonic() + self._renew_every
        return done

    async def _step(self) -> int:
        leases = list(itertools.islice(self._held.values(), _TOGETHER))
        behind = [lease for lease in leases if lease.position < self._heads[lease.partition]]
        done, errors = await self._advance.apply(await self._pieces(behind))
        _raise_first(errors.values())
        finished = [p for p in (lease.partition for lease in leases) if self._finished(p)]
        await self._leases.release(finished)
        for partition in finished:
            self.parked += len(self._held.pop(partition).parked)
        return sum(done.values())

    def _finished(self, partition: int) -> bool:
        return self._held[partition].position >= self._heads[partition]

    async def _pieces(self, leases: Sequence[Lease]) -> list[tuple[Lease, Sequence[Pointer]]]:
        """The next pointers of each feed. The group is not asked: it belongs to the workers."""
        lasts = [min(x.position + self._batch, self._heads[x.partition]) for x in leases]
        replies = await self._store.ask_many(
            [
                (
                    "XRANGE",
                    self._store.keys.feed(x.partition),
                    entry_id(x.position + 1),
                    entry_id(last),
                )
                for x, last in zip(leases, lasts, strict=True)
            ]
        )
        pieces: list[tuple[Lease, Sequence[Pointer]]] = []
        for lease, last, reply in zip(leases, lasts, replies, strict=True):
            pointers = parse_pointers(reply)
            check_contiguous(lease.partition, lease.position, pointers)
            if lease.position + len(pointers) != last:
                raise CorruptStore(
                    f"the feed of partition {lease.partition} ends at position "
                    f"{lease.position + len(pointers)} and was at {last} a moment ago: events were "
                    "lost on the server"
                )
            pieces.append((lease, pointers))
        return pieces

    async def close(self) -> None:
        """Give back what may still be held; a lease that cannot be given back ends by itself."""
        try:
            await self._leases.release(range(self._store.keys.partitions))
        except (ConnectionLost, StoreUnavailable, ServerRefused):
            pass
        finally:
            await self._ledger.close()
            await self._wire.close()


def _raise_first(errors: Iterable[WhenceError | None]) -> None:
    for error in errors:
        if error is not None:
            raise error
