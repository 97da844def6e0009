"""Whether the log still is the one that a view was made from."""

from collections.abc import Sequence

from whence.projections.fetch import DAMAGED, Damaged, Fetched, fetch_all
from whence.projections.lease import Lease
from whence.store.errors import AnchorMismatch, CorruptStore
from whence.store.eventstore import EventStore
from whence.store.feed import Pointer, parse_pointers
from whence.store.ids import entry_id

# Of a checkpoint.
_STANDING = ("position", "anchor", "log")


async def check_anchors(
    store: EventStore, projection: str, leases: Sequence[Lease]
) -> dict[int, CorruptStore]:
    """What is wrong, by partition; empty when every view stands on an event of the log.

    A log that was rolled back (a restored backup, a failover) delivers nothing, in silence, until
    it is as long as the view's position, and then other events: so each view proves first that the
    event it stands on is where it was.

    Raises:
        StoreUnavailable, ServerRefused: the server cannot be read.
    """
    errors: dict[int, CorruptStore] = {}
    standing: list[Lease] = []
    for lease in leases:
        if lease.log != store.identity.uuid:
            errors[lease.partition] = AnchorMismatch(
                projection,
                lease.partition,
                lease.position,
                f"{lease.anchor or 'nothing'} of store {lease.log}",
                f"the events of store {store.identity.uuid}",
            )
        elif lease.position:
            standing.append(lease)
    pointers = await _pointers(store, standing)
    found = await fetch_all(store, {n: p for n, p in pointers.items() if isinstance(p, list)})
    for lease in standing:
        pointer = pointers[lease.partition]
        records = found[lease.partition] if isinstance(pointer, list) else pointer
        if isinstance(records, CorruptStore):
            errors[lease.partition] = records
        elif not records or not _stands_on(lease, records[0]):
            errors[lease.partition] = AnchorMismatch(
                projection,
                lease.partition,
                lease.position,
                lease.anchor,
                records[0].anchor if records else "no event",
            )
    return errors


async def stands_astray(store: EventStore, projection: str) -> bool:
    """Whether a view that nobody need hold has come to an event that is not in the log any more.

    Raises:
        StoreUnavailable, ServerRefused: the server cannot be read.
    """
    numbers = range(store.keys.partitions)
    replies = await store.ask_many(
        [("HMGET", store.keys.checkpoint(n, projection), *_STANDING) for n in numbers]
    )
    begun = [
        Lease(number, 0, int(position), anchor.decode(), log.decode(), ends_at=0.0)
        for number, (position, anchor, log) in zip(numbers, replies, strict=True)
        if log is not None
    ]
    return bool(await check_anchors(store, projection, begun))


def _stands_on(lease: Lease, event: Fetched) -> bool:
    """Whether it is the event that the view has passed last.

    Bytes that were damaged then may have been mended since, and the other way round: then the place
    alone has to do.
    """
    if lease.anchor == event.anchor:
        return True
    place, _, checksum = lease.anchor.partition("#")
    return place == event.anchor.partition("#")[0] and (
        isinstance(event, Damaged) or checksum == DAMAGED
    )


async def _pointers(
    store: EventStore, leases: Sequence[Lease]
) -> dict[int, list[Pointer] | CorruptStore]:
    """The feed entry at the position of each lease; an empty list where there is none."""
    replies = await store.ask_many(
        [
            (
                "XRANGE",
                store.keys.feed(lease.partition),
                entry_id(lease.position),
                entry_id(lease.position),
            )
            for lease in leases
        ]
    )
    found: dict[int, list[Pointer] | CorruptStore] = {}
    for lease, reply in zip(leases, replies, strict=True):
        try:
            found[lease.partition] = parse_pointers(reply)
        except CorruptStore as error:
            found[lease.partition] = error
    return found
