"""The rule by which workers share partitions: even, complete, and moving few."""

from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whence.projections.share import Share, fair_move, quota, ranked

PATIENCE = 5.0

partition_counts = st.integers(1, 70)
worker_sets = st.sets(st.sampled_from([f"host-{n}:4711" for n in range(12)]), min_size=1)


class Room:
    """Partitions and their owners, and workers that look at them one after the other."""

    def __init__(self, partitions: Sequence[int], first_seat: int = 0) -> None:
        self.owners = dict.fromkeys(partitions, "")
        self.first_seat = first_seat
        self.now = 0.0
        self.moved = 0
        self.stuck: set[str] = set()
        self._shares: dict[str, Share] = {}

    def look(self, worker: str, workers: set[str]) -> None:
        share = self._shares.setdefault(worker, Share("orders", worker, self.first_seat, PATIENCE))
        move = share.move(dict(self.owners), workers, self.now)
        assert all(self.owners[n] == worker for n in move.give)
        assert all(not self.owners[n] for n in move.take)
        assert len(set(move.take)) == len(move.take)
        self.owners |= dict.fromkeys(move.give, "")
        if worker not in self.stuck:
            self.owners |= dict.fromkeys(move.take, worker)
            self.moved += len(move.take)

    def settle(self, workers: set[str], order: Sequence[str] = ()) -> None:
        """Two looks of each: one to give back, one to take."""
        for _ in range(2):
            for worker in order or sorted(workers):
                self.look(worker, workers)
            self.now += 1

    def held(self, workers: set[str]) -> dict[str, int]:
        counted = Counter(self.owners.values())
        return {worker: counted[worker] for worker in workers}


def assert_even(held: dict[str, int], partitions: int) -> None:
    assert sum(held.values()) == partitions
    assert max(held.values()) - min(held.values()) <= 1


@given(partition_counts, st.integers(0, 70), st.integers(1, 80))
def test_the_quotas_are_even_and_complete(partitions: int, first: int, workers: int) -> None:
    seats = range(first, first + partitions)
    quotas = [quota(rank, workers, seats) for rank in range(workers)]
    assert sum(quotas) == partitions
    assert max(quotas) - min(quotas) <= 1


@given(partition_counts, st.integers(1, 80))
def test_the_quotas_of_both_followers_are_even_together(partitions: int, workers: int) -> None:
    half = len(range(0, partitions, 2))
    parts = [range(half), range(half, partitions)]
    sums = [sum(quota(rank, workers, part) for part in parts) for rank in range(workers)]
    assert sum(sums) == partitions
    assert max(sums) - min(sums) <= 1


@given(st.data(), partition_counts, st.lists(worker_sets, min_size=1, max_size=5))
def test_after_two_looks_of_each_worker_the_partitions_are_spread_evenly(
    data: st.DataObject, partitions: int, changes: list[set[str]]
) -> None:
    room = Room(range(partitions))
    for workers in changes:
        # Those that are gone have given back, or their leases have ended.
        room.owners = {n: owner if owner in workers else "" for n, owner in room.owners.items()}
        room.settle(workers, data.draw(st.permutations(sorted(workers))))
        assert_even(room.held(workers), partitions)
        settled = dict(room.owners)
        room.settle(workers)
        assert room.owners == settled, "once they are even, nothing moves"


@given(partition_counts, worker_sets, st.data())
def test_a_worker_that_comes_or_goes_moves_few(
    partitions: int, workers: set[str], data: st.DataObject
) -> None:
    room = Room(range(partitions))
    room.settle(workers)
    changed = data.draw(st.sampled_from(sorted(workers)))
    others = workers - {changed}
    if not others:
        return
    share = room.held(workers)[changed]
    room.moved = 0
    room.owners = {n: "" if owner == changed else owner for n, owner in room.owners.items()}
    room.settle(others)
    # Its own partitions, and one at most for each of the others: who has one more, may change.
    assert share <= room.moved <= share + len(others)

    room.moved = 0
    room.settle(workers)
    share = room.held(workers)[changed]
    assert share <= room.moved <= share + len(others)


@given(partition_counts, worker_sets)
def test_an_owner_that_is_no_worker_keeps_what_it_has(partitions: int, workers: set[str]) -> None:
    room = Room(range(partitions))
    room.owners = {n: "rebuild:1" if n % 3 == 0 else "" for n in room.owners}
    room.settle(workers)
    assert Counter(room.owners.values())["rebuild:1"] == len(range(0, partitions, 3))
    assert "" not in room.owners.values()


def test_no_two_workers_reach_for_the_same_partitions() -> None:
    workers = ranked("orders", [f"w-{n}" for n in range(5)])
    owners = dict.fromkeys(range(64), "")
    takes = [fair_move(owners, workers, worker).take for worker in workers]
    assert sorted(n for take in takes for n in take) == list(range(64))


def test_the_odd_partitions_are_not_the_same_worker_s_in_every_projection() -> None:
    workers = [f"w-{n}" for n in range(4)]
    firsts = {ranked(f"projection-{n}", workers)[0] for n in range(40)}
    assert firsts == set(workers)


class TestAWorkerThatLivesAndTakesNothing:
    @pytest.fixture
    def room(self) -> Room:
        room = Room(range(8))
        room.stuck = {"b"}
        for worker in "ab":
            room.look(worker, {"a", "b"})
        assert room.held({"a", "b"}) == {"a": 4, "b": 0}
        return room

    def test_is_waited_for_and_then_no_more(self, room: Room) -> None:
        room.now = PATIENCE - 1
        room.look("a", {"a", "b"})
        assert room.held({"a"}) == {"a": 4}
        room.now = PATIENCE
        room.look("a", {"a", "b"})
        assert room.held({"a"}) == {"a": 8}

    def test_gets_its_share_later(self, room: Room) -> None:
        room.now = PATIENCE
        room.look("a", {"a", "b"})
        room.stuck = set()
        room.now += 2 * PATIENCE - 2
        room.settle({"a", "b"})
        assert room.held({"a"}) == {"a": 8}, "or the partitions would go to and fro"
        room.settle({"a", "b"})
        assert room.held({"a", "b"}) == {"a": 4, "b": 4}

    def test_a_partition_that_was_free_before_is_waited_for_anew(self, room: Room) -> None:
        room.owners = {n: owner or "b" for n, owner in room.owners.items()}
        room.now = PATIENCE
        room.look("a", {"a", "b"})
        room.owners = {n: "" if owner == "b" else owner for n, owner in room.owners.items()}
        room.look("a", {"a", "b"})
        assert room.held({"a"}) == {"a": 4}
