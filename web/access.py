"""Who is asking, and what they may do."""

from collections.abc import Sequence
from typing import Literal, NamedTuple, Protocol, get_args

from starlette.types import Scope as AsgiScope

from whence.store.errors import Forbidden

# Each allows what the ones before it do.
Scope = Literal["read", "write", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)

_PRINCIPAL = "whence.principal"
_READS = ("GET", "HEAD", "OPTIONS")
# Asked by load balancers, which have no key; of the domain they tell the names of its views.
_OPEN = ("/livez", "/readyz")


class Principal(NamedTuple):
    """Somebody who was recognised; ``name`` is written into the events of what they do."""

    name: str
    scope: Scope

    def check(self, needed: Scope) -> None:
        """Raises Forbidden."""
        if SCOPES.index(self.scope) < SCOPES.index(needed):
            raise Forbidden(self.name, needed)


class Credentials(Protocol):
    """One way to recognise somebody."""

    def principal(self, secret: str) -> Principal | None:
        """Who this secret proves to be; None if it is of another kind, or proves nothing."""
        ...


class Access:
    """What a server asks of its clients: one of the credentials."""

    def __init__(self, credentials: Sequence[Credentials]) -> None:
        self._credentials = credentials

    def principal(self, secret: str) -> Principal | None:
        found = (one.principal(secret) for one in self._credentials)
        return next((principal for principal in found if principal is not None), None)


def needed(scope: AsgiScope) -> Scope | None:
    """What a request takes: nothing, reading, writing, or the run of the place."""
    path: str = scope["path"].removeprefix(scope.get("root_path", ""))
    if path in _OPEN:
        return None
    if scope["method"] in _READS:
        return "read"
    return "admin" if path.startswith("/explorer/") else "write"


def remember(scope: AsgiScope, principal: Principal) -> None:
    """Keep who asks, for those who write it down."""
    scope[_PRINCIPAL] = principal


def who_asks(scope: AsgiScope) -> str:
    """The name of the one who sent this request; empty when nobody had to say."""
    principal: Principal | None = scope.get(_PRINCIPAL)
    return "" if principal is None else principal.name
