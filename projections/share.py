"""How workers share partitions: evenly, with no word between them, and moving few."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple
from zlib import crc32


class Move(NamedTuple):
    """Partitions for a worker to ``give`` back, and free ones for it to ``take``."""

    give: list[int]
    take: list[int]


def ranked(projection: str, workers: Iterable[str]) -> list[str]:
    """The workers in an order that all of them agree on, and that differs by projection.

    The first ones get what cannot be divided: it must not be the same ones in every projection.
    """
    return sorted(workers, key=lambda worker: (crc32(f"{projection}/{worker}".encode()), worker))


def quota(rank: int, workers: int, seats: range) -> int:
    """How many of the ``seats`` belong to the worker of this rank.

    Each partition is a seat, and the seats go around among the workers. So whatever ranges of them
    are shared out, each by itself, the sums of no two workers differ by more than one.
    """
    return len(range(seats.start + (rank - seats.start) % workers, seats.stop, workers))


def fair_move(
    owners: Mapping[int, str], workers: Sequence[str], worker: str, first_seat: int = 0
) -> Move:
    """What a worker has to do so that each has its quota; nothing, where it has.

    Who has more gives back, who has less takes free ones: a partition that lies well stays.

    Args:
        owners: of each partition that is shared; empty for a free one. An owner that is none of the
            workers (a rebuild, a worker that died) keeps what it has.
        workers: all of them, ``worker`` included, as ``ranked``.
        first_seat: of these partitions among all of the projection.
    """
    seats = range(first_seat, first_seat + len(owners))
    held = Counter(owners.values())
    free = sorted(number for number, owner in owners.items() if not owner)
    lacking = [
        max(0, quota(rank, len(workers), seats) - held[other]) for rank, other in enumerate(workers)
    ]
    rank = workers.index(worker)
    mine = sorted(number for number, owner in owners.items() if owner == worker)
    # Those before it take theirs first, so no two reach for the same ones.
    first = sum(lacking[:rank])
    return Move(
        mine[quota(rank, len(workers), seats) :],
        free[first : first + lacking[rank]],
    )


class Share:
    """The part of one worker in some partitions of a projection, as it changes.

    Args:
        first_seat: of these partitions among all of the projection.
        patience: seconds that a partition may stay free before any worker takes it: whose turn it
            is may be alive and yet not able to. Then nothing is given back for twice as long, or it
            would go to and fro.
    """

    def __init__(self, projection: str, worker: str, first_seat: int, patience: float) -> None:
        self._projection = projection
        self._worker = worker
        self._first_seat = first_seat
        self._patience = patience
        self._free_since: dict[int, float] = {}
        self._keep_until = float("-inf")

    def move(self, owners: Mapping[int, str], workers: Iterable[str], now: float) -> Move:
        """What is to be done; ``workers`` include this one, ``now`` is a clock's reading in s."""
        move = fair_move(owners, ranked(self._projection, workers), self._worker, self._first_seat)
        free = [number for number, owner in owners.items() if not owner]
        self._free_since = {number: self._free_since.get(number, now) for number in free}
        left = {n for n, since in self._free_since.items() if now - since >= self._patience}
        left.difference_update(move.take)
        if left:
            self._keep_until = now + 2 * self._patience
        give = move.give if now >= self._keep_until else []
        return Move(give, [*move.take, *sorted(left)])
