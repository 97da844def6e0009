"""What comes next in the feeds of one projection, read so that it follows on."""

from collections.abc import Mapping, Sequence

from whence.projections.group import Group
from whence.projections.lease import Lease
from whence.store.errors import CorruptStore, FeedGap, WhenceError
from whence.store.eventstore import EventStore
from whence.store.feed import Pointer, check_contiguous

# Partitions that are read together while any is behind: the events of a step should find room in
# the processor's cache, and none waits long for its turn.
_IN_TURN = 2

Piece = tuple[Lease, Sequence[Pointer]]


class Reader:
    """Reads the feeds of the partitions that a follower holds.

    Args:
        held: their leases, as they come and go.
        most: of a partition, how many entries are read together.
    """

    def __init__(
        self, store: EventStore, group: Group, held: Mapping[int, Lease], most: int
    ) -> None:
        self._store = store
        self._group = group
        self._held = held
        self._most = most
        self._count = most
        self._behind: set[int] = set()  # the last read from it was full
        self._next = 0

    async def read(
        self, active: Sequence[int], *, wait: bool
    ) -> tuple[list[Piece], dict[int, WhenceError]]:
        """What follows on from the leases' positions, and what is wrong, by partition.

        The rest is read again. It waits for events only if no partition is behind.

        Raises:
            ConnectionLost, StoreUnavailable, ServerRefused: no answer.
        """
        wait = wait and not self._behind
        pieces: list[Piece] = []
        errors: dict[int, WhenceError] = {}
        for partition, pointers in (await self._arrived(self._turn(active), wait=wait)).items():
            lease = self._held.get(partition)
            if lease is None:  # lost while the read was under way
                continue
            if isinstance(pointers, CorruptStore):
                errors[partition] = pointers
                continue
            try:
                check_contiguous(partition, lease.position, pointers)
            except FeedGap:
                errors.update(await self._read_again(lease))
            else:
                pieces.append((lease, pointers))
        return pieces, errors

    def less(self) -> None:
        """Read less at once: a reply may have been too large to arrive in time."""
        self._count = max(1, self._count // 2)

    def more(self) -> None:
        """Read more at once, up to the most."""
        self._count = min(2 * self._count, self._most)

    def _turn(self, active: Sequence[int]) -> Sequence[int]:
        """The partitions to read next: all of them, or while any is behind a few, in turns."""
        self._behind.intersection_update(active)
        if not self._behind:
            return active
        first = self._next if self._next < len(active) else 0
        self._next = first + _IN_TURN
        return active[first : self._next]

    async def _arrived(
        self, partitions: Sequence[int], *, wait: bool
    ) -> Mapping[int, Sequence[Pointer] | CorruptStore]:
        count = self._count
        found = await self._group.read(partitions, count, wait=wait)
        for partition in partitions:
            pointers = found.get(partition, ())
            if not isinstance(pointers, CorruptStore) and len(pointers) == count:
                self._behind.add(partition)
            else:
                self._behind.discard(partition)
        return found

    async def _read_again(self, lease: Lease) -> Mapping[int, WhenceError]:
        """Set the group back after a gap: another reader may have moved it. Is the log in order?"""
        try:
            await self._store.pointers(lease.partition, after=lease.position, limit=self._count)
        except CorruptStore as error:
            return {lease.partition: error}
        return await self._group.set_back([lease])
