"""What comes next in the feeds of one projection, read so that it follows on."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

import anyio.lowlevel

from whence.projections.group import Group
from whence.projections.lease import Lease
from whence.store.errors import CorruptStore, FeedGap, WhenceError
from whence.store.eventstore import EventStore
from whence.store.feed import Piece, Pointer, check_contiguous
from whence.store.page import read_piece
from whence.store.wire import seen

Arrived = Mapping[int, Sequence[Pointer] | CorruptStore]


class _Read(NamedTuple):
    """A read ahead of its turn: under which leases, and what it brings."""

    leases: dict[int, Lease]
    arrived: "asyncio.Task[Arrived]"


class Reader:
    """Reads the feeds of the partitions that a follower holds.

    While any is behind, it reads ahead: the server looks for the next events while the ones before
    are applied. What was read for a lease that is halted or gone by then is dropped.

    Args:
        held: their leases, as they come and go.
        most: of a partition, how many entries are read together.
        in_turn: how many partitions are read together while any is behind.
    """

    def __init__(
        self,
        store: EventStore,
        group: Group,
        held: Mapping[int, Lease],
        most: int,
        *,
        in_turn: int,
    ) -> None:
        self._store = store
        self._group = group
        self._held = held
        self._most = most
        self._in_turn = in_turn
        self._count = most
        self._behind: set[int] = set()  # the last read from it was full
        self._heard: set[int] = set()
        self._next = 0
        self._ahead: _Read | None = None

    async def read(
        self, active: Sequence[Lease], *, wait: bool
    ) -> tuple[list[tuple[Lease, Sequence[Pointer]]], dict[int, WhenceError]]:
        """What follows on from the leases' positions, and what is wrong, by partition.

        The rest is read again. It waits for events only if no partition is behind.

        Raises:
            ConnectionLost, StoreUnavailable, ServerRefused: no answer.
        """
        if self._ahead is None:
            leases = self._turn(active)
            found = await self._arrived(list(leases), wait=wait and not self._behind)
        else:
            leases, arrived = self._ahead
            found = await arrived
            self._ahead = None
        following = await self._following(leases, found)
        if self._behind:
            self._read_ahead(active)
            await anyio.lowlevel.checkpoint()  # so it is sent before the work begins
        return following

    @property
    def coming(self) -> set[int]:
        """The partitions that are read ahead now."""
        return set() if self._ahead is None else {*self._ahead.leases}

    def quiet(self, active: Sequence[Lease]) -> list[Lease]:
        """Those from which nothing has come since this was asked last, nor is on its way."""
        heard, self._heard = self._heard | self.coming, set()
        return [lease for lease in active if lease.partition not in heard]

    async def settle(self) -> None:
        """Wait until nothing is under way that the server might still take out of the group."""
        if self._ahead is not None:
            await asyncio.wait([self._ahead.arrived])

    def forget(self) -> None:
        """Drop what was read ahead; the group stands behind it, and has to be set back."""
        if self._ahead is not None:
            self._ahead.arrived.cancel()
            self._ahead = None

    def less(self) -> None:
        """Read less at once: a reply may have been too large to arrive in time."""
        self._count = max(1, self._count // 2)

    def more(self) -> None:
        """Read more at once, up to the most."""
        self._count = min(2 * self._count, self._most)

    def _share(self, partitions: int) -> int:
        """How many entries of each partition: a step is no longer because more are read at once."""
        return max(1, self._count * self._in_turn // max(partitions, self._in_turn))

    def _turn(self, active: Sequence[Lease]) -> dict[int, Lease]:
        """What to read next: all partitions, or while any is behind a few, in turns."""
        leases = {lease.partition: lease for lease in active}
        self._behind.intersection_update(leases)
        if not self._behind:
            return leases
        first = self._next if self._next < len(active) else 0
        self._next = first + self._in_turn
        return {lease.partition: lease for lease in active[first : self._next]}

    def _read_ahead(self, active: Sequence[Lease]) -> None:
        leases = self._turn(active)
        task = asyncio.create_task(self._loaded(list(leases)))
        task.add_done_callback(seen)  # it may be dropped
        self._ahead = _Read(leases, task)

    async def _loaded(self, partitions: Sequence[int]) -> Arrived:
        """As ``_arrived``, and the events have come with their pointers, and are read."""
        found = await self._arrived(partitions, wait=False)
        pieces = [(n, piece) for n, piece in found.items() if isinstance(piece, Piece)]
        # Each by itself: while one is read, the server looks for the next.
        await asyncio.gather(*[self._load(number, piece) for number, piece in pieces])
        return found

    async def _load(self, partition: int, piece: Piece) -> None:
        await self._store.load({partition: piece})
        with suppress(CorruptStore):  # it is found again when it is the piece's turn
            read_piece(partition, piece)

    async def _arrived(self, partitions: Sequence[int], *, wait: bool) -> Arrived:
        count = self._share(len(partitions))
        found = await self._group.read(partitions, count, wait=wait)
        self._heard.update(found)
        for partition in partitions:
            pointers = found.get(partition, ())
            if not isinstance(pointers, CorruptStore) and len(pointers) == count:
                self._behind.add(partition)
            else:
                self._behind.discard(partition)
        return found

    async def _following(
        self, leases: Mapping[int, Lease], found: Arrived
    ) -> tuple[list[tuple[Lease, Sequence[Pointer]]], dict[int, WhenceError]]:
        pieces: list[tuple[Lease, Sequence[Pointer]]] = []
        errors: dict[int, WhenceError] = {}
        for partition, pointers in found.items():
            lease = leases[partition]
            if lease.halted or self._held.get(partition) is not lease:
                continue  # halted, lost or taken anew since
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

    async def _read_again(self, lease: Lease) -> Mapping[int, WhenceError]:
        """Set the group back after a gap: another reader may have moved it. Is the log in order?"""
        try:
            await self._store.pointers(lease.partition, after=lease.position, limit=self._count)
        except CorruptStore as error:
            return {lease.partition: error}
        return await self._group.set_back([lease])
