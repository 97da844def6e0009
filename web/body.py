"""The body of a command: JSON of a bounded size."""

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive, Scope

MAX_BODY_BYTES = 1_000_000


async def read_json(scope: Scope, receive: Receive, limit: int) -> bytes:
    """The body of a request, read to its end.

    A request without a content type is taken for JSON.

    Raises:
        HTTPException: 415 for another content type or an encoding, 413 for more than ``limit``
            bytes, announced or sent.
        ClientDisconnect: the client left before the end.
    """
    _check_headers(scope, limit)
    message = await receive()
    body: bytes = message.get("body", b"")
    if message["type"] == "http.disconnect":
        raise ClientDisconnect
    if not message.get("more_body", False):  # nearly always: the whole body came at once
        _check_size(len(body), limit)
        return body
    chunks, size = [body], len(body)
    while message.get("more_body", False):
        _check_size(size, limit)
        message = await _next(receive)
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
    _check_size(size, limit)
    return b"".join(chunks)


async def _next(receive: Receive) -> Message:
    message = await receive()
    if message["type"] == "http.disconnect":
        raise ClientDisconnect
    return message


def _check_headers(scope: Scope, limit: int) -> None:
    for name, value in scope["headers"]:
        if name == b"content-type":
            if value != b"application/json":
                _check_type(value)
        elif name == b"content-length":  # the server has checked that it is a number
            _check_size(int(value), limit)
        elif name == b"content-encoding":
            raise HTTPException(415, "send the body without a content encoding")


def _check_type(value: bytes) -> None:
    if value.partition(b";")[0].strip().lower() != b"application/json":
        shown = value[:80].decode("latin-1")
        raise HTTPException(415, f"the body must be application/json, not {shown!r}")


def _check_size(size: int, limit: int) -> None:
    if size > limit:
        raise HTTPException(413, f"the body may have {limit:,} bytes")
