"""The trace (W3C Trace Context) to which the present request belongs, for the lines of the log."""

from collections.abc import Awaitable
from contextvars import ContextVar

from starlette.types import ASGIApp, Receive, Scope, Send

from whence.store.metadata import trace_id
from whence.web.headers import headers_of

_current: ContextVar[str] = ContextVar("whence_trace", default="")


def traceparent(scope: Scope) -> str:
    """The traceparent of a request; "" without one, with several, or with one that is none."""
    if b"traceparent" not in headers_of(scope):
        return ""
    found = [value for name, value in scope["headers"] if name == b"traceparent"]
    text = found[0].decode("latin-1") if len(found) == 1 else ""
    return text if trace_id(text) else ""


def current_trace() -> str:
    """The trace id of the present request, 32 hex digits; "" outside of any."""
    return _current.get()


class Traced:
    """Remembers the trace id while ``app`` answers, also in the tasks that it begins."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        parent = traceparent(scope) if scope["type"] == "http" else ""
        if not parent:
            return self._app(scope, receive, send)
        return self._traced(trace_id(parent), scope, receive, send)

    async def _traced(self, trace: str, scope: Scope, receive: Receive, send: Send) -> None:
        token = _current.set(trace)
        try:
            await self._app(scope, receive, send)
        finally:
            _current.reset(token)
