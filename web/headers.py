"""The headers of a request, looked at once for all who want to know what it asks for."""

from collections.abc import Mapping

from starlette.types import Scope

_KEY = "whence.headers"


def headers_of(scope: Scope) -> Mapping[bytes, bytes]:
    """The headers by their lower-case names; of several with one name, the last.

    Who has to know of the others looks into the scope: there they are more than here.
    """
    found: dict[bytes, bytes] | None = scope.get(_KEY)
    if found is None:
        found = scope[_KEY] = dict(scope["headers"])
    return found
