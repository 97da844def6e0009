"""The Starlette application of a domain: every address comes from its classes."""

from collections.abc import Awaitable, Callable, Sequence
from importlib import metadata

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from whence.actors.model import AggregateType
from whence.actors.runtime import Runtime
from whence.domain import Domain
from whence.projections.freshness import WAIT_WITHIN
from whence.store.errors import InvalidDomain
from whence.store.eventstore import EventStore
from whence.web.aggregates import AggregateBranch
from whence.web.body import MAX_BODY_BYTES
from whence.web.branches import Branch, Branches
from whence.web.commands import Commands, url_name
from whence.web.health import Health
from whence.web.history import History
from whence.web.openapi import Describer
from whence.web.problems import HANDLERS
from whence.web.views import ViewsBranch

# Seconds that the store has to answer /readyz.
READY_WITHIN = 1.0

# First segments that no aggregate can have as its plural.
_TAKEN = ("views", "livez", "readyz", "openapi.json")


def create_app(
    domain: Domain,
    store: EventStore,
    runtime: Runtime,
    *,
    max_body_bytes: int = MAX_BODY_BYTES,
    ready_within: float = READY_WITHIN,
    wait_within: float = WAIT_WITHIN,
) -> Starlette:
    """The web front end of a domain. The caller opens and closes the store and the runtime.

    Args:
        max_body_bytes: of one request; a larger one is refused before it is read to its end.
        ready_within: seconds that the store has to answer /readyz.
        wait_within: seconds that a view has to come to the position that a reader waits for.

    Raises:
        InvalidDomain: two aggregates would have one address, or a type has no form in JSON.
    """
    aggregates = list(domain.write_model.aggregates.values())
    views = ViewsBranch(domain.read_model, store, wait_within=wait_within)
    branches: dict[str, Branch] = {"views": views}
    for kind in aggregates:
        _check_plural(kind, branches)
        commands = Commands(kind, runtime, max_body_bytes=max_body_bytes)
        history = History(kind, domain.write_model.events, store)
        branches[kind.plural] = AggregateBranch(kind, commands, history)
    health = Health(store, domain.read_model, timeout=ready_within)
    describer = Describer(aggregates, domain.read_model.projections.values())
    document = describer.document(metadata.version("whence"))
    app = Starlette(
        routes=[
            Branches(branches),
            Route("/", _fixed(_index(aggregates, list(domain.read_model.projections)))),
            Route("/livez", health.alive),
            Route("/readyz", health.ready),
            Route("/openapi.json", _fixed(document)),
        ],
        exception_handlers=HANDLERS,
    )
    # A redirect would answer before the path is judged, and lose the body of a POST.
    app.router.redirect_slashes = False
    return app


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


def _index(aggregates: Sequence[AggregateType], views: Sequence[str]) -> dict[str, object]:
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
        "views": [f"/views/{name}" for name in views],
        "health": ["/livez", "/readyz"],
        "openapi": "/openapi.json",
    }
