"""The gate in front of every address: no request passes that nobody answers for."""

from base64 import b64decode
from binascii import Error as Base64Error

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from whence.store.errors import Unauthenticated, WhenceError
from whence.web.access import Access, Principal, needed, remember
from whence.web.problems import answer_problem


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
                if principal is not None and not _of_this_site(request):
                    raise Unauthenticated("pages of other sites cannot use a password")
            case _:
                principal = None
        if principal is None:
            raise Unauthenticated("these credentials are not known here, or no longer valid")
        return principal


def _password(encoded: str) -> str:
    try:
        text = b64decode(encoded, validate=True).decode()
    except (Base64Error, UnicodeDecodeError):
        return ""
    return text.partition(":")[2]


def _of_this_site(request: Request) -> bool:
    """Whether a browser sends this on behalf of one of our own pages, or is no browser at all."""
    if request.method in {"GET", "HEAD"}:
        return True
    return request.headers.get("sec-fetch-site", "none") in {"same-origin", "none"}
