"""The template behind the path of a request: as many as the domain has addresses, and no more."""

from collections.abc import Iterable, Mapping, Sequence

from starlette.types import Scope

from whence.actors.model import AggregateType
from whence.web.branches import path_segments
from whence.web.commands import url_name

OTHER = "other"
_HISTORY = ("events", "why")
_EXPLORER = ("find", "aggregates", "projections", "store", "static", "live")
_FIXED = ("", "commands", "events", "livez", "readyz", "openapi.json", "docs")


class RouteNames:
    """Names the address of a request, for those who count: ``/orders/{id}/cancel``.

    A path without an address of ours is ``other``, whatever it says.
    """

    def __init__(self, aggregates: Iterable[AggregateType], views: Iterable[str]) -> None:
        self._aggregates: Mapping[str, frozenset[str]] = {
            kind.plural: frozenset(map(url_name, kind.commands)) for kind in aggregates
        }
        self._views = frozenset(views)

    def of(self, scope: Scope) -> str:
        """The template of a request's path."""
        first, *rest = path_segments(scope)
        commands = self._aggregates.get(first)
        if commands is not None:
            return _of_aggregate(first, commands, scope["method"], rest)
        if first == "views":
            return self._of_view(rest)
        if first == "explorer":
            return f"/explorer/{rest[0]}" if rest[:1] and rest[0] in _EXPLORER else "/explorer"
        return f"/{first}" if first in _FIXED and not rest else OTHER

    def _of_view(self, rest: Sequence[str]) -> str:
        match rest:
            case []:
                return "/views"
            case [view] if view in self._views:
                return f"/views/{view}"
            case [view, _] if view in self._views:
                return f"/views/{view}/{{key}}"
            case _:
                return OTHER


def _of_aggregate(plural: str, commands: frozenset[str], method: str, rest: Sequence[str]) -> str:
    match rest:
        case [command] if method == "POST" and command in commands:
            return f"/{plural}/{command}"
        case [_]:
            return f"/{plural}/{{id}}"
        case [_, name] if name in commands or name in _HISTORY:
            return f"/{plural}/{{id}}/{name}"
        case _:
            return OTHER
