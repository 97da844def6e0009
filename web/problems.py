"""Errors as RFC 9457 problem documents: one table says which status each of them has."""

import logging
import math
from http import HTTPStatus
from typing import Any, NamedTuple

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ExceptionHandler

from whence.store import errors
from whence.web.replies import etag

PROBLEM_JSON = "application/problem+json"
URN = "urn:whence:problem:"

_log = logging.getLogger("whence.web")
_encode = msgspec.json.Encoder().encode
# A client's own text comes back in details and fields: enough of it to recognise.
_MAX_DETAIL = 1_000
_MAX_FIELD = 200


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """What went wrong (RFC 9457).

    ``field`` names the offending field, ``version`` is the version the aggregate has now.
    """

    type: str
    title: str
    status: int
    detail: str
    instance: str = ""
    field: str = ""
    version: int | None = None


class Kind(NamedTuple):
    """One kind of problem; ``detail`` replaces a message that is not for strangers to read."""

    status: int
    name: str
    title: str
    detail: str = ""


# The nearest class in an error's ancestry counts.
KINDS: dict[type[Exception], Kind] = {
    errors.InvalidInput: Kind(422, "invalid-input", "The request is not acceptable"),
    errors.InvalidId: Kind(422, "invalid-id", "This cannot be an id"),
    errors.InvalidCommand: Kind(422, "invalid-command", "The command's arguments do not fit"),
    errors.CommandIdReused: Kind(422, "command-id-reused", "This key belongs to another command"),
    errors.InvalidEvent: Kind(422, "invalid-event", "The resulting event cannot be stored"),
    errors.Unauthenticated: Kind(401, "unauthenticated", "Nobody knows who is asking"),
    errors.Forbidden: Kind(403, "forbidden", "This is not yours to do"),
    errors.NotFound: Kind(404, "not-found", "There is nothing at this address"),
    errors.UnknownCommand: Kind(404, "unknown-command", "There is no such command"),
    errors.UnknownProjection: Kind(404, "unknown-view", "There is no such view"),
    errors.ViewInSql: Kind(404, "view-in-sql", "This view is read with SQL"),
    errors.UnknownField: Kind(404, "unknown-field", "There is no such field"),
    errors.StreamNotFound: Kind(404, "aggregate-not-found", "There is no such aggregate"),
    errors.VersionNotFound: Kind(404, "version-not-found", "There is no such version"),
    errors.RowNotFound: Kind(404, "row-not-found", "There is no such row"),
    errors.Rejected: Kind(409, "rejected", "The command was rejected"),
    errors.Conflict: Kind(409, "conflict", "Others changed the aggregate first"),
    errors.PreconditionFailed: Kind(
        412, "precondition-failed", "The aggregate is not as the condition says"
    ),
    errors.Overloaded: Kind(503, "overloaded", "Too many commands are waiting"),
    errors.DeadlineExceeded: Kind(504, "deadline-exceeded", "The command was not decided in time"),
    errors.OutcomeUnknown: Kind(
        503,
        "outcome-unknown",
        "The command may or may not have been stored",
        "the event store did not answer in time: read the aggregate's events to learn whether the "
        "command was stored, before sending it again",
    ),
    errors.StoreUnavailable: Kind(
        503,
        "store-unavailable",
        "The event store cannot be reached",
        "nothing was stored; it is safe to try again",
    ),
    errors.ServerRefused: Kind(
        503,
        "store-refused",
        "The event store refused the request",
        "nothing was stored; the operator finds the reason in the log",
    ),
    errors.DurabilityRefused: Kind(
        503,
        "store-not-durable",
        "The event store is not as durable as it should be",
        "nothing was stored; the operator finds the reason in the log",
    ),
    errors.TooManySubscribers: Kind(503, "too-many-subscribers", "Too many listen to live events"),
    errors.ViewBehind: Kind(503, "view-behind", "The view has not come so far yet"),
    errors.EventParked: Kind(503, "event-parked", "The view goes on without this event for now"),
    errors.CorruptStore: Kind(500, "corrupt-store", "The stored events contradict themselves"),
    errors.UnknownEventType: Kind(500, "unknown-event-type", "A stored event has an unknown type"),
    errors.ViewError: Kind(500, "view-mismatch", "The view and its projection do not fit"),
}

INTERNAL = Kind(
    500,
    "internal-error",
    "Something went wrong in this program",
    "the operator finds the reason in the log",
)

# What Starlette and whence.web refuse before the domain is asked.
BY_STATUS: dict[int, Kind] = {
    404: KINDS[errors.NotFound],
    405: Kind(405, "method-not-allowed", "This address has other methods"),
    413: Kind(413, "body-too-large", "The body is too large"),
    415: Kind(415, "unsupported-media-type", "The body is not JSON"),
}

# Of a client's own making, or the normal way of a busy server: no line in the log for each.
_EXPECTED = (errors.Overloaded, errors.DeadlineExceeded, errors.TooManySubscribers)


def problem_of(error: Exception, where: str) -> Problem:
    """What a client is told of an error; one that is not the client's is also logged.

    Args:
        where: the request, for the log.
    """
    kind = kind_of(error)
    if kind.status >= HTTPStatus.INTERNAL_SERVER_ERROR and not isinstance(error, _EXPECTED):
        known = isinstance(error, errors.WhenceError)
        _log.error("%s: %s", where, error, exc_info=None if known else error)
    return _problem(kind, error)


def kind_of(error: Exception) -> Kind:
    """What an error of Whence is to a client."""
    return next((KINDS[cls] for cls in type(error).__mro__ if cls in KINDS), INTERNAL)


async def answer_problem(request: Request, error: Exception) -> Response:
    """The response to a request that ended in an error."""
    problem = problem_of(error, f"{request.method} {_instance(request)}")
    return _response(request, problem, headers_of(error))


async def http_problem(request: Request, error: Exception) -> Response:
    """The response to a request that was refused before the domain was asked."""
    assert isinstance(error, HTTPException)
    headers = dict(error.headers) if error.headers else {}
    status = error.status_code
    phrase = HTTPStatus(status).phrase
    kind = BY_STATUS.get(status) or Kind(status, "", phrase)
    detail = error.detail
    if detail == phrase and status == HTTPStatus.NOT_FOUND:
        detail = "/ lists what there is, and /openapi.json describes it"
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        detail = f"{request.method} is not among them: {headers.get('Allow', 'none')}"
    return _response(request, _problem(kind._replace(detail=detail), error), headers)


async def unexpected_problem(request: Request, error: Exception) -> Response:
    """The response to a request that met a defect; the server logs it, for it is raised again."""
    return _response(request, _problem(INTERNAL, error), None)


HANDLERS: dict[Any, ExceptionHandler] = {
    HTTPException: http_problem,
    errors.WhenceError: answer_problem,
    Exception: unexpected_problem,
}


def _problem(kind: Kind, error: Exception) -> Problem:
    return Problem(
        type=f"{URN}{kind.name}" if kind.name else "about:blank",
        title=kind.title,
        status=kind.status,
        detail=(kind.detail or str(error))[:_MAX_DETAIL],
        field=_field(error)[:_MAX_FIELD],
        version=_version(error),
    )


def _response(request: Request, problem: Problem, headers: dict[str, str] | None) -> Response:
    placed = msgspec.structs.replace(problem, instance=_instance(request))
    return Response(_encode(placed), problem.status, headers, PROBLEM_JSON)


def _instance(request: Request) -> str:
    raw: bytes = request.scope.get("raw_path") or b""
    return raw[:_MAX_DETAIL].decode("latin-1")


def _field(error: Exception) -> str:
    match error:
        case errors.InvalidInput():
            return error.field
        case errors.UnknownField():
            return error.name
        case _:
            return ""


def headers_of(error: Exception) -> dict[str, str] | None:
    """What the answer to an error says in its headers, under lower-case names."""
    match error:
        case errors.StoreUnavailable() | errors.ViewBehind():
            return {"retry-after": "1"}
        case errors.Overloaded() | errors.TooManySubscribers():
            return {"retry-after": str(math.ceil(error.retry_after))}
        case errors.Unauthenticated():
            # Browsers ask for a password only if Basic comes first.
            return {"www-authenticate": 'Basic realm="whence", Bearer realm="whence"'}
        case errors.Forbidden():
            return {"www-authenticate": f'Bearer error="insufficient_scope", scope="{error.scope}"'}
        case errors.Conflict():
            return etag(error.actual)
        case _:
            return None


def _version(error: Exception) -> int | None:
    match error:
        case errors.Conflict():
            return error.actual
        case errors.VersionNotFound():
            return error.head
        case _:
            return None
