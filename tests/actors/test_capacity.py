"""What a refused caller is told: when what waits now will be done, at the last rate."""

import pytest

from whence.actors.capacity import LEAST_RETRY_AFTER, MOST_RETRY_AFTER, Capacity
from whence.store.errors import Overloaded
from whence.store.ids import StreamId

STREAM = StreamId("counter", "1")


class Clock:
    now = 1_000.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("whence.actors.capacity.time.monotonic", lambda: clock.now)
    return clock


def filled(held: int) -> Capacity:
    capacity = Capacity(per_actor=held, in_total=held)
    take(capacity, held)
    return capacity


def take(capacity: Capacity, count: int) -> None:
    for _ in range(count):
        capacity.take(STREAM, 0)


def retry_after(capacity: Capacity) -> float:
    with pytest.raises(Overloaded) as caught:
        capacity.take(STREAM, 0)
    return caught.value.retry_after


def test_it_follows_the_rate_at_which_commands_are_done(clock: Clock) -> None:
    capacity = filled(100)
    clock.now += 2
    capacity.release(100 // 2)
    take(capacity, 50)

    assert retry_after(capacity) == 4  # 50 in 2 seconds, and 100 wait


def test_it_follows_a_rate_that_changes(clock: Clock) -> None:
    capacity = filled(100)
    for done in (10, 50):
        clock.now += 1
        capacity.release(done)
        take(capacity, done)
        told = retry_after(capacity)

    assert told == 2


def test_a_pause_is_no_part_of_the_rate(clock: Clock) -> None:
    capacity = filled(100)
    capacity.release(100)
    clock.now += 3_600
    take(capacity, 100)
    clock.now += 1
    capacity.release(50)
    take(capacity, 50)

    assert retry_after(capacity) == 2


@pytest.mark.parametrize(
    ("seconds", "done", "told"),
    [
        (0, 0, LEAST_RETRY_AFTER),  # nobody knows yet
        (0.001, 99, LEAST_RETRY_AFTER),
        (1, 1, MOST_RETRY_AFTER),
        (1, 0, MOST_RETRY_AFTER),  # nothing gets done
    ],
)
def test_it_has_bounds(clock: Clock, seconds: float, done: int, told: float) -> None:
    capacity = filled(100)
    clock.now += seconds
    capacity.release(done)
    take(capacity, done)

    assert retry_after(capacity) == told


def test_a_refused_command_is_not_counted() -> None:
    capacity = filled(2)
    for _ in range(3):
        retry_after(capacity)
    capacity.release(1)
    take(capacity, 1)
