"""The switch: from one moment to the next, readers see another generation of a view."""

import secrets
from collections.abc import Sequence
from contextlib import suppress

import anyio

from whence.projections.catchup import reach
from whence.projections.generations import generations_command
from whence.projections.lease import Lease, Leases
from whence.projections.ledger import Ledger, ledger_of
from whence.projections.notes import Request, Skip, Skipped, parse_notes, parse_skips
from whence.projections.projection import Projector, in_redis
from whence.projections.requests import leave
from whence.projections.settings import WorkerSettings
from whence.projections.succession import Fence, Succession
from whence.projections.wishes import Wish
from whence.store.address import CALL_TIMEOUT
from whence.store.errors import NoGeneration, NotParked, ServerRefused, StoreUnavailable
from whence.store.eventstore import EventStore
from whence.store.wire import ConnectionLost, Wire

# Seconds that the live generation may be held back for the next one, and never as long as a lease
# lasts; then it goes on for a while.
_HOLD = 5.0
_LOOK_EVERY = 0.02


async def switch(
    store: EventStore,
    projection: Projector,
    number: int,
    settings: WorkerSettings,
) -> int | None:
    """Make a generation live that others bring to the head of the log; returns what is live then.

    The live one is held back meanwhile, so that the other passes it: no reader sees a view go back
    in time, and who has waited for a position finds it. None if the other has not come so far
    within 5 seconds (half of a lease, where that is less), or if the live one was taken away from
    this call, which may have been paused; then nothing has changed.

    Raises:
        NoGeneration: it was dropped meanwhile.
        ViewHalted: a partition of it stands still.
        StoreUnavailable, ServerRefused: the server does not answer.
    """
    succession = Succession(store, projection)
    live = (await succession.look()).live
    if live == number:
        return live
    old, new = projection.generation(live), projection.generation(number)
    wire = store.address.wire()
    leases = Leases(store, old.name, f"switch:{secrets.token_hex(4)}", settings.lease_ms, wire)
    ledger = ledger_of(store, old, wire)
    partitions = range(store.keys.partitions)
    try:
        with anyio.move_on_after(min(_HOLD, settings.lease_ms / 2000)):
            until_ms = await _now_ms(store, projection) + settings.lease_ms
            held = await leases.acquire(partitions, force=True)
            await ledger.hold(held)
            await reach(store, new, await _positions(store, held))
            await _carry_skips(wire, store, old, new)
            if not in_redis(projection):
                await _see_to_it(succession, number)
            if await leases.renew(held):
                return None
            now = await succession.switch(live, number, Fence(held, until_ms))
            return None if now == live else now
        return None
    except ConnectionLost as error:
        raise StoreUnavailable(store.address.shown, str(error)) from error
    finally:
        with anyio.move_on_after(CALL_TIMEOUT, shield=True):
            await _let_go(leases, ledger, partitions, wire)


async def _see_to_it(succession: Succession, number: int) -> None:
    """Have workers finish a switch in two steps: tables, then Redis. This call may end between."""
    found = await succession.look()
    if found.wish is not None or (found.building == number and found.switcher == "worker"):
        return  # they do so anyway, or a person wants something else
    with suppress(NoGeneration):  # the switch tells
        await succession.want(Wish("switch" if found.building == number else "rollback", number))


async def _now_ms(store: EventStore, projection: Projector) -> int:
    """The clock of the server that has the generations: a command without a key goes along."""
    _, (seconds, microseconds) = await store.ask_many(
        [generations_command(store.keys, projection.name), ("TIME",)]
    )
    return int(seconds) * 1000 + int(microseconds) // 1000


async def _positions(store: EventStore, held: Sequence[Lease]) -> dict[int, int]:
    """Where the live generation stands; a log that was rolled back has no events beyond its end."""
    heads = await store.feed_heads([lease.partition for lease in held])
    return {
        lease.partition: min(lease.position, head) for lease, head in zip(held, heads, strict=True)
    }


async def _carry_skips(wire: Wire, store: EventStore, old: Projector, new: Projector) -> None:
    """Skip in the new generation what a person has skipped in the old one since it was begun.

    Where the event could be applied, there is nothing to skip.
    """
    keys = store.keys
    numbers = range(keys.partitions)
    replies = await store.ask_many(
        [
            *(("HGETALL", keys.skipped(n, old.name)) for n in numbers),
            *(("HGETALL", keys.skipped(n, new.name)) for n in numbers),
            *(("HGETALL", keys.parked(n, new.name)) for n in numbers),
        ]
    )
    for n in numbers:
        skipped = parse_skips(replies[n])
        known = parse_skips(replies[keys.partitions + n])
        parked = parse_notes(replies[2 * keys.partitions + n])
        for event, (_, skip) in skipped.items():
            if event in known or event.stream not in parked:
                continue
            if parked[event.stream][1].version == event.version:
                await _skip(wire, store, new, event, skip)


async def _skip(
    wire: Wire, store: EventStore, projection: Projector, event: Skipped, skip: Skip
) -> None:
    """Return when the follower of the partition has skipped the event."""
    request = Request("skip", event.version, skip.by, skip.reason)
    with suppress(NotParked):
        await leave(wire, store, projection, event.stream, request)
    key = store.keys.asked(store.keys.partition(event.stream), projection.name)
    while True:
        if not await store.ask("HEXISTS", key, str(event.stream)):
            return
        await anyio.sleep(_LOOK_EVERY)


async def _let_go(leases: Leases, ledger: Ledger, partitions: Sequence[int], wire: Wire) -> None:
    """Give the live generation back; a lease that cannot be given back ends by itself."""
    try:
        await leases.release(partitions)
    except (ConnectionLost, StoreUnavailable, ServerRefused):
        pass
    finally:
        await ledger.close()
        await wire.close()
