"""The Starlette application of a domain: every address comes from its classes."""

from collections.abc import Awaitable, Callable, Sequence
from importlib import metadata

import msgspec
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from whence.actors.model import AggregateType
from whence.actors.runtime import Runtime
from whence.domain import Domain
from whence.projections.freshness import WAIT_WITHIN
from whence.store.errors import InvalidDomain
from whence.store.eventstore import EventStore
from whence.web.access import Access
from whence.web.aggregates import AggregateBranch
from whence.web.body import MAX_BODY_BYTES
from whence.web.branches import Branch, Branches
from whence.web.bulk import Bulk
from whence.web.commands import Commands, url_name
from whence.web.direct import Direct
from whence.web.explorer.explorer import Explorer
from whence.web.front import Front
from whence.web.guard import Guard, SameSite
from whence.web.health import Health
from whence.web.history import History
from whence.web.live import MAX_SUBSCRIBERS, Live
from whence.web.log import LogBranch
from whence.web.metering import HttpMeter, Metering
from whence.web.openapi import Describer
from whence.web.problems import HANDLERS
from whence.web.reference.page import ReferencePage
from whence.web.routes import RouteNames
from whence.web.trace import Traced
from whence.web.views import ViewsBranch

# Seconds that the store has to answer /readyz.
READY_WITHIN = 1.0

# Headers that pages of other sites may send and read; the simple ones need no mention.
_CORS_REQUEST = (
    *("Authorization", "Content-Type", "Idempotency-Key", "If-Match", "If-None-Match"),
    *("Last-Event-ID", "Prefer", "Whence-Wait-For", "Whence-Within", "X-Correlation-ID"),
    "traceparent",
)
_CORS_ANSWER = (
    *("Content-Location", "ETag", "Idempotency-Replayed", "Link", "Location"),
    *("Preference-Applied", "Retry-After", "Whence-Position"),
)

# First segments that no aggregate can have as its plural.
_TAKEN = ("commands", "views", "events", "livez", "readyz", "openapi.json", "docs")


def create_app(
    domain: Domain,
    store: EventStore,
    runtime: Runtime,
    *,
    max_body_bytes: int = MAX_BODY_BYTES,
    max_subscribers: int = MAX_SUBSCRIBERS,
    ready_within: float = READY_WITHIN,
    access: Access | None = None,
    cors_origins: Sequence[str] = (),
    wait_within: float = WAIT_WITHIN,
    explorer: bool = True,
    meter: HttpMeter | None = None,
) -> Starlette:
    """The web front end of a domain. The caller opens and closes the store and the runtime.

    Args:
        max_body_bytes: of one command; a larger one is refused before it is read to its end.
        max_subscribers: how many clients may listen to live events at a time. A server calls
            ``app.state.live.end()`` when it begins to stop, for those requests do not end by
            themselves.
        ready_within: seconds that the store has to answer /readyz.
        access: who may do what; None lets everybody do everything.
        cors_origins: the sites whose pages may use this API, as https://shop.example.
        wait_within: seconds that a view has to come to the position that a reader waits for.
        explorer: whether there are pages for people at /explorer.
        meter: counts what is answered.

    Raises:
        InvalidDomain: two aggregates would have one address, or a type has no form in JSON.
    """
    aggregates = list(domain.write_model.aggregates.values())
    live = Live(store, max_subscribers=max_subscribers)
    events = domain.write_model.events
    branches: dict[str, Branch] = {
        "views": ViewsBranch(domain.read_model, store, wait_within=wait_within),
        "events": LogBranch(events, store, live),
    }
    if explorer:
        branches["explorer"] = Explorer(domain, store, live.ended)
    commands: dict[str, Commands] = {}
    for kind in aggregates:
        _check_plural(kind, branches)
        commands[kind.name] = Commands(kind, runtime, max_body_bytes=max_body_bytes)
        history = History(kind, runtime, live)
        branches[kind.plural] = AggregateBranch(kind, commands[kind.name], history)
    health = Health(store, domain, timeout=ready_within)
    describer = Describer(aggregates, domain.read_model.in_redis.values())
    document = describer.document(metadata.version("whence"))
    branches["docs"] = ReferencePage(document)
    routes = RouteNames(aggregates, domain.read_model.projections)
    measured = [] if meter is None else [Middleware(Metering, meter=meter, routes=routes)]
    app = Front(
        routes=[
            Branches(branches),
            Route("/commands", Bulk(runtime, max_line_bytes=max_body_bytes).run, methods=["POST"]),
            Route("/", _fixed(_index(aggregates, list(domain.read_model.in_redis), explorer))),
            Route("/livez", health.alive),
            Route("/readyz", health.ready),
            Route("/openapi.json", _fixed(document)),
        ],
        middleware=[
            *measured,
            Middleware(Traced),
            *_middleware(access, cors_origins),
            Middleware(Direct, runtime=runtime, commands=commands),
        ],
        exception_handlers=HANDLERS,
    )
    # A redirect would answer before the path is judged, and lose the body of a POST.
    app.router.redirect_slashes = False
    app.state.live = live
    return app


def _middleware(access: Access | None, cors_origins: Sequence[str]) -> list[Middleware]:
    found: list[Middleware] = []
    if cors_origins:  # outermost: a browser asks in advance, without credentials
        cors = Middleware(
            CORSMiddleware,
            allow_origins=cors_origins,
            allow_methods=["GET", "HEAD", "POST"],
            allow_headers=_CORS_REQUEST,
            expose_headers=_CORS_ANSWER,
        )
        found.append(cors)
    if access is None:
        found.append(Middleware(SameSite, origins=cors_origins))
    else:
        found.append(Middleware(Guard, access=access))
    return found


def _check_plural(kind: AggregateType, branches: dict[str, Branch]) -> None:
    if kind.plural in _TAKEN or kind.plural in branches:
        raise InvalidDomain(
            f"the aggregate {kind.name} cannot be at /{kind.plural}, which is taken: "
            f"class {kind.cls.__name__}(Aggregate[...], plural=...)"
        )


def _fixed(document: object) -> Callable[[Request], Awaitable[Response]]:
    """An endpoint for a document that never changes."""
    body = msgspec.json.encode(document)

    async def endpoint(request: Request) -> Response:
        return Response(body, media_type="application/json")

    return endpoint


def _index(
    aggregates: Sequence[AggregateType], views: Sequence[str], explorer: bool
) -> dict[str, object]:
    return {
        "aggregates": {
            kind.name: {
                "state": f"/{kind.plural}/{{id}}",
                "events": f"/{kind.plural}/{{id}}/events",
                "why": f"/{kind.plural}/{{id}}/why",
                "commands": [
                    f"/{kind.plural}/{{id}}/{url_name(name)}" for name in sorted(kind.commands)
                ],
            }
            for kind in aggregates
        },
        "commands": "/commands",
        "events": "/events",
        "views": [f"/views/{name}" for name in views],
        "health": ["/livez", "/readyz"],
        "openapi": "/openapi.json",
        "docs": "/docs",
        **({"explorer": "/explorer"} if explorer else {}),
    }
