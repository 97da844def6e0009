"""The gate in front of every address: no request passes that nobody answers for."""

from base64 import b64decode
from collections.abc import Awaitable, Sequence

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from whence.store.errors import Unauthenticated, WhenceError
from whence.web.access import Access, Principal, needed, remember
from whence.web.headers import headers_of
from whence.web.problems import answer_problem

_READS = ("GET", "HEAD", "OPTIONS")
# What tells of the page behind a request; without them it is no browser that sends it.
_BROWSER = frozenset([b"sec-fetch-site", b"origin"])


class Guard:
    """Lets a request pass to ``app`` when who sent it may do what it asks for.

    The secret comes as ``Authorization: Bearer``, or as the password of ``Basic``, which is what a
    browser can send; a page of another site must not use that (CSRF).
    """

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (scope_needed := needed(scope)) is not None:
            request = Request(scope)
            try:
                principal = self._recognised(request)
                principal.check(scope_needed)
            except WhenceError as error:
                response = await answer_problem(request, error)
                await response(scope, receive, send)
                return
            remember(scope, principal)
        await self._app(scope, receive, send)

    def _recognised(self, request: Request) -> Principal:
        header = request.headers.get("authorization")
        if header is None:
            raise Unauthenticated("this needs credentials")
        kind, _, secret = header.partition(" ")
        match kind.lower():
            case "bearer":
                principal = self._access.principal(secret.strip())
            case "basic":
                principal = self._access.principal(_password(secret))
                if principal is not None and not _of_this_site(request.scope):
                    raise Unauthenticated("pages of other sites cannot use a password")
            case _:
                principal = None
        if principal is None:
            raise Unauthenticated("these credentials are not known here, or no longer valid")
        return principal


def _password(encoded: str) -> str:
    try:
        text = b64decode(encoded, validate=True).decode()
    except ValueError:  # of Base64, of text that is not ASCII, of bytes that are no text
        return ""
    return text.partition(":")[2]


class SameSite:
    """Where nobody has to say who they are, keeps pages of other sites from sending commands.

    Such a page can make a browser on this machine send what it likes (CSRF), unless it is of one of
    the sites that are let in by name.
    """

    def __init__(self, app: ASGIApp, origins: Sequence[str]) -> None:
        self._app = app
        self._origins = origins

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] == "http" and self._is_foreign(scope):
            return _refuse(scope, receive, send)
        return self._app(scope, receive, send)

    def _is_foreign(self, scope: Scope) -> bool:
        if _BROWSER.isdisjoint(headers_of(scope)):
            return False
        return not (_of_this_site(scope) or _header(scope, b"origin") in self._origins)


async def _refuse(scope: Scope, receive: Receive, send: Send) -> None:
    error = Unauthenticated("pages of other sites cannot send commands without a key")
    await (await answer_problem(Request(scope), error))(scope, receive, send)


def _of_this_site(scope: Scope) -> bool:
    """Whether a browser sends this on behalf of one of our own pages, or is no browser at all."""
    if scope["method"] in _READS:
        return True
    site, origin, host = (_header(scope, name) for name in (b"sec-fetch-site", b"origin", b"host"))
    if site is not None:
        return site in {"same-origin", "none"}
    # The origin is all that there is on plain HTTP.
    return origin is None or origin.partition("://")[2] == host


def _header(scope: Scope, name: bytes) -> str | None:
    """The first header of this name."""
    for found, value in scope["headers"]:
        if found == name:
            return bytes(value).decode("latin-1")
    return None
