"""How late the event loop is."""

import asyncio
from collections.abc import Iterable

from prometheus_client.metrics_core import Metric

from whence.actors.metrics import Histogram
from whence.web.metrics.families import histogram

# Seconds between two looks.
_EVERY = 0.25
# Upper bounds in seconds.
_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class LoopLag:
    """Sees how much later than asked for it is woken: what any other task waits as well."""

    def __init__(self) -> None:
        self._seen = Histogram(_BOUNDS)

    async def run(self) -> None:
        """Look until cancelled."""
        clock = asyncio.get_running_loop().time
        while True:
            due = clock() + _EVERY
            await asyncio.sleep(_EVERY)
            self._seen.add(max(0.0, clock() - due))

    async def families(self) -> Iterable[Metric]:
        return [
            histogram(
                "whence_event_loop_lag_seconds",
                "How much later than asked for the event loop wakes a task.",
                {(): self._seen.shown()},
            )
        ]
