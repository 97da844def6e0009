"""The OpenAPI 3.1 description of a domain, made from the classes that serve it."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from whence.actors.model import AggregateType, CommandType
from whence.projections.projection import Projection
from whence.store.errors import InvalidDomain
from whence.web import replies
from whence.web.commands import url_name
from whence.web.problems import PROBLEM_JSON, Problem

Json = dict[str, Any]

_REPLIES = (
    Problem,
    replies.CommandReply,
    replies.StateReply,
    replies.EventsReply,
    replies.WhyReply,
    replies.WhyFieldReply,
    replies.ViewReply,
)
_PROBLEM: Json = {"$ref": "#/components/responses/Problem"}
_TEXT: Json = {"type": "string"}


class Describer:
    """Writes the document.

    Raises:
        InvalidDomain: a type of the domain has no form in JSON.
    """

    def __init__(
        self, aggregates: Iterable[AggregateType], projections: Iterable[Projection[Any]]
    ) -> None:
        self._aggregates = list(aggregates)
        self._projections = list(projections)
        types = [*_REPLIES, *self._domain_types()]
        try:
            refs, self._schemas = msgspec.json.schema_components(
                types, ref_template="#/components/schemas/{name}"
            )
        except TypeError as error:
            raise InvalidDomain(
                f"this domain has a type that OpenAPI cannot describe: {error}"
            ) from error
        self._refs: Mapping[Any, Json] = dict(zip(types, refs, strict=True))

    def _domain_types(self) -> list[Any]:
        found: list[Any] = []
        for kind in self._aggregates:
            found += [kind.cls, *sorted(kind.events, key=lambda event: event.__name__)]
            found += [command.arguments for command in kind.commands.values()]
        found += [projection.rows.cls for projection in self._projections]
        return list(dict.fromkeys(found))  # an event may belong to several aggregates

    def document(self, version: str) -> Json:
        """The whole document; ``version`` is that of this release."""
        paths: Json = {}
        for kind in self._aggregates:
            paths |= self._aggregate(kind)
        for projection in self._projections:
            paths |= self._view(projection)
        return {
            "openapi": "3.1.0",
            "info": {"title": "Whence", "version": version},
            "paths": paths | _common(),
            "components": {
                "schemas": self._schemas,
                "responses": {"Problem": self._answer("What went wrong", Problem, PROBLEM_JSON)},
            },
        }

    def _aggregate(self, kind: AggregateType) -> Json:
        base = f"/{kind.plural}/{{id}}"
        tag = kind.name
        paths: Json = {
            base: _get(
                f"The state of a {tag}",
                tag,
                [_ID, _query("version", _whole(1)), _query("at", _TEXT | {"format": "date-time"})],
                self._refined("Its state", replies.StateReply, {"state": self._refs[kind.cls]}),
            ),
            f"{base}/events": _get(
                f"The events of a {tag}",
                tag,
                [_ID, _query("after", _whole(0)), _query("limit", _whole(1))],
                self._answer("A page of its events", replies.EventsReply),
            ),
            f"{base}/why": _get(
                f"Why a {tag} is as it is",
                tag,
                [_ID, _query("field", _TEXT | {"enum": list(kind.cls.__struct_fields__)})],
                self._why(),
            ),
        }
        for command in kind.commands.values():
            path = paths.setdefault(f"{base}/{url_name(command.name)}", {"parameters": [_ID]})
            path["post"] = self._command(kind, command)
        return paths

    def _command(self, kind: AggregateType, command: CommandType) -> Json:
        events = sorted(kind.events, key=lambda event: event.__name__)
        data: Json = {"anyOf": [self._refs[event] for event in events]}
        decided = {"events": {"items": {"properties": {"data": data}}}}
        done = self._refined("What the command stored", replies.CommandReply, decided)
        return {
            "operationId": f"{kind.name}-{url_name(command.name)}",
            "summary": (command.function.__doc__ or f"{command.name} a {kind.name}").split("\n")[0],
            "tags": [kind.name],
            "parameters": [_IDEMPOTENCY_KEY],
            "requestBody": {
                "required": bool(msgspec.structs.fields(command.arguments)),
                "content": _content("application/json", self._refs[command.arguments]),
            },
            "responses": {"200": done, "201": done, "default": _PROBLEM},
        }

    def _view(self, projection: Projection[Any]) -> Json:
        base = f"/views/{projection.name}"
        row: Json = {
            "allOf": [
                self._refs[projection.rows.cls],
                {"type": "object", "properties": {"key": _TEXT}, "required": ["key"]},
            ]
        }
        filters = [_query(name, _TEXT) for name in projection.rows.fields]
        paging = [_query("limit", _whole(1)), _query("after", _TEXT), *_WAITING]
        rows = self._refined("A page of its rows", replies.ViewReply, {"rows": {"items": row}})
        one: Json = {"description": "The row", "content": _content("application/json", row)}
        return {
            base: _get(f"The rows of {projection.name}", "views", [*filters, *paging], rows),
            f"{base}/{{key}}": _get("One row", "views", [_path("key"), *_WAITING], one),
        }

    def _why(self) -> Json:
        forms = [self._refs[replies.WhyReply], self._refs[replies.WhyFieldReply]]
        content = _content("application/json", {"anyOf": forms})
        return {"description": "The events behind its fields", "content": content}

    def _answer(self, text: str, cls: type, media_type: str = "application/json") -> Json:
        return {"description": text, "content": _content(media_type, self._refs[cls])}

    def _refined(self, text: str, cls: type, properties: Json) -> Json:
        """A reply with what its class leaves open."""
        schema: Json = {"allOf": [self._refs[cls], {"properties": properties}]}
        return {"description": text, "content": _content("application/json", schema)}


def _common() -> Json:
    """The addresses that every domain has."""
    document: Json = {"description": "As JSON", "content": _content("application/json", {})}
    texts = {
        "/": "What there is",
        "/views": "The views of this domain",
        "/livez": "Does this process answer?",
        "/readyz": "Does its store answer?",
        "/openapi.json": "This document",
    }
    return {path: _get(text, "about", [], document) for path, text in texts.items()}


def _get(summary: str, tag: str, parameters: list[Json], done: Json) -> Json:
    responses = {"200": done, "default": _PROBLEM}
    operation: Json = {"summary": summary, "tags": [tag], "responses": responses}
    if parameters:
        operation["parameters"] = parameters
    return {"get": operation}


def _content(media_type: str, schema: Json) -> Json:
    return {media_type: {"schema": schema}}


def _whole(minimum: int) -> Json:
    return {"type": "integer", "minimum": minimum}


def _path(name: str, **schema: Any) -> Json:
    return {"name": name, "in": "path", "required": True, "schema": _TEXT | schema}


def _query(name: str, schema: Json) -> Json:
    return {"name": name, "in": "query", "required": False, "schema": schema}


_ID = _path("id", pattern="^[A-Za-z0-9._~-]{1,128}$")
_IDEMPOTENCY_KEY: Json = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "The same command again, under the same key, gets the original answer.",
    "schema": _TEXT | {"pattern": _ID["schema"]["pattern"]},
}
_POSITIONS: Json = _TEXT | {"pattern": "^[0-9]{1,4}:[0-9]{1,15}( *, *[0-9]{1,4}:[0-9]{1,15})*$"}
_WAITING: list[Json] = [
    _query("wait_for", _POSITIONS),
    {
        "name": "Whence-Wait-For",
        "in": "header",
        "required": False,
        "description": "Answer when the view has applied this position: the Whence-Position of a "
        "command's answer.",
        "schema": _POSITIONS,
    },
]
