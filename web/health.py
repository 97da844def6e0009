"""Is this process alive, and can it serve?"""

import time

import anyio
from starlette.requests import Request
from starlette.responses import Response

from whence.domain import Domain
from whence.projections.generations import outdated_views
from whence.projections.parked import parked_counts
from whence.store.errors import StoreUnavailable
from whence.store.eventstore import EventStore
from whence.web.replies import reply


class Health:
    """The two addresses that load balancers and supervisors ask.

    Args:
        domain: what is parked of its views and reactions is counted.
        timeout: seconds that the store has for its answer.
    """

    def __init__(self, store: EventStore, domain: Domain, *, timeout: float) -> None:
        self._store = store
        self._projections = list(domain.read_model.projections.values())
        self._reactions = list(domain.reactions.reactions.values())
        self._timeout = timeout

    async def alive(self, request: Request) -> Response:
        """GET /livez: the process answers. The store is not asked: a restart would not mend it."""
        return reply({"status": "alive"})

    async def ready(self, request: Request) -> Response:
        """GET /readyz: the store answers in time, or 503.

        Parked aggregates are told, and views that another version of their projection has made.
        Neither is a reason to take this process out of service: what they lack is lacking
        everywhere.
        """
        began = time.perf_counter()
        try:
            with anyio.fail_after(self._timeout):
                await self._store.ask("PING")
                answered = time.perf_counter()
                parked = await parked_counts(self._store, [*self._projections, *self._reactions])
                outdated = await outdated_views(self._store, self._projections)
        except TimeoutError:
            where = self._store.address.shown
            raise StoreUnavailable(where, f"no answer within {self._timeout:g} s") from None
        milliseconds = round((answered - began) * 1000, 3)
        identity = self._store.identity
        return reply(
            {
                "status": "ready",
                "store": {
                    "uuid": identity.uuid,
                    "partitions": identity.partitions,
                    "milliseconds": milliseconds,
                },
                "parked": parked,
                "outdated": outdated,
            }
        )
