"""The OpenAPI 3.1 description of a domain, made from the classes that serve it."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from whence.actors.model import AggregateType, CommandType
from whence.projections.projection import Projection
from whence.store.errors import InvalidDomain
from whence.web import replies
from whence.web.cloudevents import CLOUDEVENTS, CloudEvent
from whence.web.commands import LONGEST_WITHIN, url_name
from whence.web.eventstream import EVENT_STREAM
from whence.web.history import MAX_EVENTS
from whence.web.problems import PROBLEM_JSON, Problem
from whence.web.views import MAX_ROWS

Json = dict[str, Any]

_REPLIES = (
    Problem,
    replies.CommandReply,
    replies.MinimalReply,
    replies.StateReply,
    replies.EventsReply,
    replies.WhyReply,
    replies.WhyFieldReply,
    replies.ViewReply,
    CloudEvent,
)
_PROBLEM: Json = {"$ref": "#/components/responses/Problem"}
_READ_PROBLEMS = dict.fromkeys(["404", "412", "422", "500", "503"], _PROBLEM)
_COMMAND_PROBLEMS = _READ_PROBLEMS | dict.fromkeys(["409", "413", "415", "504"], _PROBLEM)
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
        paths["/events"] = _get(
            "The events of all aggregates as they come",
            "events",
            [_query("types", _TEXT), _query("after", _TEXT), _LAST_EVENT_ID],
            {"description": "Server-sent events", "content": _content(EVENT_STREAM, _TEXT)},
        )
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
            base: _conditional(
                f"The state of a {tag}",
                tag,
                [_ID, _query("version", _whole(1)), _query("at", _TEXT | {"format": "date-time"})],
                self._state(kind),
            ),
            f"{base}/events": _get(
                f"The events of a {tag}",
                tag,
                [_ID, _query("after", _whole(0)), _limit(MAX_EVENTS), _LAST_EVENT_ID],
                self._events(),
            ),
            f"{base}/why": _conditional(
                f"Why a {tag} is as it is",
                tag,
                [_ID, _query("field", _TEXT | {"enum": list(kind.cls.__struct_fields__)})],
                self._why(),
            ),
        }
        for command in kind.commands.values():
            path = paths.setdefault(f"{base}/{url_name(command.name)}", {"parameters": [_ID]})
            path["post"] = self._command(kind, command)
            paths[f"/{kind.plural}/{url_name(command.name)}"] = {
                "post": self._creation(kind, command)
            }
        return paths

    def _events(self) -> Json:
        """A page of events in one of two forms, or all of them as they come."""
        page = _linked(self._answer("A page of its events", replies.EventsReply))
        batch: Json = {"type": "array", "items": self._refs[CloudEvent]}
        page["content"] |= _content(CLOUDEVENTS, batch) | _content(EVENT_STREAM, _TEXT)
        return page

    def _state(self, kind: AggregateType) -> Json:
        return self._refined("Its state", replies.StateReply, {"state": self._refs[kind.cls]})

    def _command(self, kind: AggregateType, command: CommandType) -> Json:
        summary = (command.function.__doc__ or f"{command.name} a {kind.name}").split("\n")[0]
        done = self._done(kind)
        return {
            "operationId": f"{kind.name}-{url_name(command.name)}",
            "summary": summary,
            "tags": [kind.name],
            "parameters": [*_COMMAND_HEADERS, _IF_MATCH, _MUST_NOT_EXIST],
            "requestBody": self._body(command),
            "responses": {"200": done, "201": _created(done), **_COMMAND_PROBLEMS},
        }

    def _creation(self, kind: AggregateType, command: CommandType) -> Json:
        """The same command for an aggregate that gets its id from the server."""
        done = self._done(kind)
        return {
            "operationId": f"new-{kind.name}-{url_name(command.name)}",
            "summary": f"{url_name(command.name)}, for a new {kind.name} whose id is made here",
            "tags": [kind.name],
            "parameters": _COMMAND_HEADERS,
            "requestBody": self._body(command),
            "responses": {"200": done, "201": _created(done), **_COMMAND_PROBLEMS},
        }

    def _body(self, command: CommandType) -> Json:
        return {
            "required": bool(msgspec.structs.fields(command.arguments)),
            "content": _content("application/json", self._refs[command.arguments]),
        }

    def _done(self, kind: AggregateType) -> Json:
        """What a command answers: its events, or what a client prefers to them."""
        events = sorted(kind.events, key=lambda event: event.__name__)
        data: Json = {"anyOf": [self._refs[event] for event in events]}
        decided = {"events": {"items": {"properties": {"data": data}}}}
        done = self._refined("What the command stored", replies.CommandReply, decided)
        schema = done["content"]["application/json"]
        state = self._state(kind)["content"]["application/json"]["schema"]
        schema["schema"] = {"anyOf": [schema["schema"], state, self._refs[replies.MinimalReply]]}
        headers = {
            "ETag": _VERSION_TAG,
            "Idempotency-Replayed": _REPLAYED,
            "Whence-Position": _POSITION,
        }
        return done | {"headers": headers}

    def _view(self, projection: Projection[Any]) -> Json:
        base = f"/views/{projection.name}"
        row: Json = {
            "allOf": [
                self._refs[projection.rows.cls],
                {"type": "object", "properties": {"key": _TEXT}, "required": ["key"]},
            ]
        }
        filters = [_query(name, _TEXT) for name in projection.rows.fields]
        paging = [_limit(MAX_ROWS), _query("after", _TEXT), *_WAITING]
        rows = self._refined("A page of its rows", replies.ViewReply, {"rows": {"items": row}})
        one: Json = {"description": "The row", "content": _content("application/json", row)}
        return {
            base: _get(
                f"The rows of {projection.name}", "views", [*filters, *paging], _linked(rows)
            ),
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
    responses = {"200": done, **_READ_PROBLEMS}
    operation: Json = {"summary": summary, "tags": [tag], "responses": responses}
    if parameters:
        operation["parameters"] = parameters
    return {"get": operation}


def _conditional(summary: str, tag: str, parameters: list[Json], done: Json) -> Json:
    """A read whose answer has a version, so that a client need not get it twice."""
    done = done | {"headers": {"ETag": _VERSION_TAG}}
    described = _get(summary, tag, [*parameters, _IF_MATCH, _IF_NONE_MATCH], done)
    described["get"]["responses"]["304"] = {"description": "The client has this version"}
    return described


def _linked(done: Json) -> Json:
    return done | {"headers": {"Link": _header("The next page, if there is one.")}}


def _created(done: Json) -> Json:
    location = _header("Where the new aggregate is.")
    return done | {"headers": done["headers"] | {"Location": location}}


def _content(media_type: str, schema: Json) -> Json:
    return {media_type: {"schema": schema}}


def _whole(minimum: int) -> Json:
    return {"type": "integer", "minimum": minimum, "maximum": 10**15 - 1}


def _limit(most: int) -> Json:
    return _query("limit", _whole(1) | {"maximum": most})


def _path(name: str, **schema: Any) -> Json:
    return {"name": name, "in": "path", "required": True, "schema": _TEXT | schema}


def _query(name: str, schema: Json) -> Json:
    return {"name": name, "in": "query", "required": False, "schema": schema}


_ID = _path("id", pattern="^[A-Za-z0-9._~-]{1,128}$")


def _sent(name: str, description: str, **schema: Any) -> Json:
    """A header of a request."""
    return {
        "name": name,
        "in": "header",
        "required": False,
        "description": description,
        "schema": _TEXT | schema,
    }


def _header(description: str, **schema: Any) -> Json:
    """A header of an answer."""
    return {"description": description, "schema": _TEXT | schema}


_IDEMPOTENCY_KEY = _sent(
    "Idempotency-Key",
    "The same command again, under the same key, gets the original answer.",
    pattern=_ID["schema"]["pattern"],
)
_TAG = r'(W/)?"[\x21\x23-\x7e]*"'
_TAGS = rf"^(\*|{_TAG}( *, *{_TAG})*)$"
_IF_MATCH = _sent("If-Match", "The version that the aggregate must have.", pattern=_TAGS)
_IF_NONE_MATCH = _sent("If-None-Match", "The version that the client has.", pattern=_TAGS)
_MUST_NOT_EXIST = _sent("If-None-Match", "The aggregate must not exist yet.", enum=["*"])
_PREFER = _sent(
    "Prefer",
    "Only where the command has led, or the state, in place of its events.",
    enum=["return=minimal", "return=representation"],
)
_LAST_EVENT_ID = _sent("Last-Event-ID", "Where a reader of server-sent events was.")
_VERSION_TAG = _header("The version of the aggregate.", pattern='^"[0-9]+"$')
_REPLAYED = _header("The command had been stored before.", enum=["true"])
_WITHIN = _sent("Whence-Within", "Seconds in which the command has to be decided, or is dropped.")
_WITHIN["schema"] = {"type": "number", "exclusiveMinimum": 0, "maximum": LONGEST_WITHIN}
_CORRELATION_ID = _sent(
    "X-Correlation-ID",
    "Names the story to which the events belong; stored with them.",
    pattern=_ID["schema"]["pattern"],
)
_TRACEPARENT = _sent("traceparent", "The trace (W3C) to which the events belong; stored with them.")
_COMMAND_HEADERS = [_IDEMPOTENCY_KEY, _PREFER, _WITHIN, _CORRELATION_ID, _TRACEPARENT]
_POSITIONS: Json = {"pattern": "^[0-9]{1,4}:[0-9]{1,15}( *, *[0-9]{1,4}:[0-9]{1,15})*$"}
_WAITING = [
    _query("wait_for", _TEXT | _POSITIONS),
    _sent(
        "Whence-Wait-For",
        "Answer when the view has applied this position: the Whence-Position of a command.",
        **_POSITIONS,
    ),
]
_POSITION = _header("Where the last event stands in the log.", pattern="^[0-9]+:[0-9]+$")
