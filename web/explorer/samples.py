"""What pages show live is looked at once a second, however many look at the pages."""

import asyncio
import itertools
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Sampled(Generic[T]):
    """A value that is asked for when somebody wants it, and kept for ``every`` seconds.

    Nobody looks: nothing is asked. A look that fails is that caller's error; the next one tries.
    """

    def __init__(self, look: Callable[[], Awaitable[T]], *, every: float) -> None:
        self._look = look
        self._every = every
        self._kept: tuple[float, T] | None = None
        self._lock = asyncio.Lock()

    async def get(self) -> T:
        async with self._lock:
            if self._kept is None or time.monotonic() - self._kept[0] >= self._every:
                found = await self._look()
                self._kept = (time.monotonic(), found)
            return self._kept[1]

    def forget(self) -> None:
        """Ask again at the next ``get``."""
        self._kept = None


class Pace:
    """How fast a number grows, from readings of it.

    Args:
        window: readings that count.
        gap: seconds without a reading after which it begins anew: nobody was looking.
    """

    def __init__(self, *, window: int, gap: float = 5.0) -> None:
        self._readings: deque[tuple[float, int]] = deque(maxlen=window + 1)
        self._gap = gap

    def add(self, number: int, at: float) -> None:
        """A reading at a moment, in seconds of ``time.monotonic()``."""
        if self._readings and at - self._readings[-1][0] > self._gap:
            self._readings.clear()
        self._readings.append((at, number))

    @property
    def per_second(self) -> float | None:
        """Over all readings; None before the second one."""
        if len(self._readings) <= 1:
            return None
        (began, least), (ended, most) = self._readings[0], self._readings[-1]
        return (most - least) / (ended - began)

    @property
    def steps(self) -> list[float]:
        """Per second, between each reading and the next, oldest first."""
        return [
            max(0, number - before) / (at - then)
            for (then, before), (at, number) in itertools.pairwise(self._readings)
        ]
