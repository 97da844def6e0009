"""Every answer is counted where it leaves."""

import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from whence.actors.metrics import Distribution, Histogram
from whence.web.routes import RouteNames

# Upper bounds in seconds.
_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_METHODS = frozenset(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])


class HttpMeter:
    """Counts answers by method, route and status, none of which a client can make up.

    Routes are templates, ``/orders/{id}``; what has none is ``other``.
    """

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str, int], Histogram] = {}

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """An answer began after so many seconds."""
        key = (method if method in _METHODS else "other", route, status)
        seen = self._seen.get(key)
        if seen is None:
            seen = self._seen[key] = Histogram(_BOUNDS)
        seen.add(seconds)

    def shown(self) -> dict[tuple[str, ...], Distribution]:
        """By method, route and status."""
        return {
            (method, route, str(status)): seen.shown()
            for (method, route, status), seen in self._seen.items()
        }


class Metering:
    """Counts the answers of ``app``, and the time until each of them began.

    A stream would otherwise count with the hours that it lasts. Who leaves before an answer is not
    counted.
    """

    def __init__(self, app: ASGIApp, meter: HttpMeter, routes: RouteNames) -> None:
        self._app = app
        self._meter = meter
        self._routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()

        async def count(message: Message) -> None:
            if message["type"] == "http.response.start":
                seconds = time.perf_counter() - began
                route = self._routes.of(scope)
                self._meter.answered(scope["method"], route, message["status"], seconds)
            await send(message)

        await self._app(scope, receive, count)
