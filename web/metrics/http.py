"""What a process answers over HTTP, and how fast."""

from collections.abc import Iterable

from prometheus_client.metrics_core import Metric

from whence.web.live import Live
from whence.web.metering import HttpMeter
from whence.web.metrics.families import gauge, histogram


class HttpSource:
    """The answers, and who listens to live events; asks nobody."""

    def __init__(self, meter: HttpMeter, live: Live) -> None:
        self._meter = meter
        self._live = live

    async def families(self) -> Iterable[Metric]:
        return [
            histogram(
                "whence_http_request_seconds",
                "Time until the answer to a request began.",
                self._meter.shown(),
                ("method", "route", "status"),
            ),
            gauge(
                "whence_live_subscribers",
                "Clients that listen to live events.",
                {(): self._live.subscribers},
            ),
        ]
