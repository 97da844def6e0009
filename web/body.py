"""The body of a command: JSON of a bounded size."""

from collections.abc import Mapping

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive, Scope

from whence.web.headers import headers_of

MAX_BODY_BYTES = 1_000_000
_JSON = b"application/json"


async def read_json(scope: Scope, receive: Receive, limit: int) -> bytes:
    """The body of a request, read to its end.

    A request without a content type is taken for JSON.

    Raises:
        HTTPException: 415 for another content type or an encoding, 413 for more than ``limit``
            bytes, announced or sent.
        ClientDisconnect: the client left before the end.
    """
    _check_headers(headers_of(scope), limit)
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body", False):
        body: bytes = message.get("body", b"")  # nearly always: the whole body came at once
    else:
        body = await _pieces(message, receive, limit)
    if len(body) > limit:
        raise _too_large(limit)
    return body


async def _pieces(message: Message, receive: Receive, limit: int) -> bytes:
    """A body that begins with ``message``: to its end, or until it is longer than ``limit``."""
    body = bytearray()
    while message["type"] != "http.disconnect":
        body += message.get("body", b"")
        if len(body) > limit or not message.get("more_body", False):
            return bytes(body)
        message = await receive()
    raise ClientDisconnect


def _check_headers(headers: Mapping[bytes, bytes], limit: int) -> None:
    kind = headers.get(b"content-type", _JSON)
    if kind != _JSON and kind.partition(b";")[0].strip().lower() != _JSON:
        shown = kind[:80].decode("latin-1")
        raise HTTPException(415, f"the body must be application/json, not {shown!r}")
    if b"content-encoding" in headers:
        raise HTTPException(415, "send the body without a content encoding")
    if int(headers.get(b"content-length", 0)) > limit:  # the server has seen that it is a number
        raise _too_large(limit)


def _too_large(limit: int) -> HTTPException:
    return HTTPException(413, f"the body may have {limit:,} bytes")
