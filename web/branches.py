"""Routing by the first segment of the path: one look into a dict, however large the domain is."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any
from urllib.parse import unquote

from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match
from starlette.types import Receive, Scope, Send

# Gets the request and the segments after the first one, decoded.
Branch = Callable[[Request, Sequence[str]], Awaitable[Response]]

# Bytes of a body from which compressing it is worth its time.
GZIP_FROM = 1_000

_SEGMENTS = "whence.segments"


class Branches(BaseRoute):
    """The routes below ``/orders``, ``/views`` and so on, each handled by one Branch.

    Paths are split before they are decoded, so an id with an encoded slash stays one segment and
    is refused as an id. A regular expression per route would see two segments there.
    """

    def __init__(self, branches: Mapping[str, Branch]) -> None:
        self._branches = branches

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if scope["type"] != "http":
            return Match.NONE, {}
        segments = path_segments(scope)
        branch = self._branches.get(segments[0])
        if branch is None:
            return Match.NONE, {}
        return Match.FULL, {"endpoint": branch, _SEGMENTS: segments}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        branch: Branch = scope["endpoint"]
        request: Request[Any] = Request(scope, receive, send)
        try:
            response = await branch(request, scope[_SEGMENTS][1:])
        except ClientDisconnect:
            return  # it left before its request was complete: nothing was done, nobody listens
        if scope["method"] == "GET":
            # Only what is read may be long; a command's answer is not even looked at.
            await GZipMiddleware(response, minimum_size=GZIP_FROM)(scope, receive, send)
        else:
            await response(scope, receive, send)


def path_segments(scope: Scope) -> list[str]:
    """The decoded segments of a request's path below the application's root; at least one."""
    root: str = scope.get("root_path", "")
    raw: bytes | None = scope.get("raw_path")
    if raw is None:  # optional in ASGI
        return _below(root, scope["path"]).split("/")[1:] or [""]
    segments = _below(root, raw.decode("latin-1")).split("/")[1:]
    if b"%" in raw:
        segments = [unquote(segment) for segment in segments]
    return segments or [""]


def _below(root: str, path: str) -> str:
    return path[len(root) :] if root and path.startswith(f"{root}/") else path
