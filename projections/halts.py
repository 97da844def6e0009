"""The partitions that stand still because of an error, and when each is tried again."""

import time
from dataclasses import dataclass


@dataclass(slots=True)
class _Halt:
    pause_ms: int
    retry_at: float


class Halts:
    """Pauses that double with every failure of a partition, until it moves on.

    Args:
        first_ms, longest_ms: the pause after the first failure, and the longest one.
    """

    def __init__(self, first_ms: int, longest_ms: int) -> None:
        self._first_ms = first_ms
        self._longest_ms = longest_ms
        self._halts: dict[int, _Halt] = {}

    def add(self, partition: int) -> int:
        """Halt a partition; returns for how many milliseconds."""
        before = self._halts.get(partition)
        pause = min(2 * before.pause_ms, self._longest_ms) if before else self._first_ms
        self._halts[partition] = _Halt(pause, time.monotonic() + pause / 1000)
        return pause

    def waiting(self, partition: int) -> bool:
        """Whether it is too early to try this partition again."""
        halt = self._halts.get(partition)
        return halt is not None and time.monotonic() < halt.retry_at

    def forget(self, partition: int) -> None:
        """The partition has moved on, or is another worker's business."""
        self._halts.pop(partition, None)
