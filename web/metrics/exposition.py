"""GET /metrics: everything that the sources of a process tell, as text for Prometheus."""

import asyncio
from collections.abc import Iterable, Sequence

from prometheus_client import ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from whence.web.metrics.families import Source
from whence.web.problems import HANDLERS


def exposition(sources: Sequence[Source]) -> Starlette:
    """An application that has nothing but ``/metrics``, for a port of its own."""
    process = ProcessCollector(registry=None)

    async def metrics(request: Request) -> Response:
        told = await asyncio.gather(*[source.families() for source in sources])
        families = [family for one in told for family in one]
        encode, media_type = choose_encoder(request.headers.get("accept", ""))
        body = encode(_Told([*families, *process.collect()]))
        return Response(body, headers={"content-type": media_type, "cache-control": "no-store"})

    return Starlette(routes=[Route("/metrics", metrics)], exception_handlers=HANDLERS)


class _Told(Collector):
    """What was collected already, for an encoder that asks for it."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families
