"""The OpenAPI 3.1 description of a domain, made from the classes that serve it."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from whence.actors.model import AggregateType, CommandType
from whence.projections.projection import Projection
from whence.store.errors import InvalidDomain
from whence.web import replies
from whence.web.cloudevents import CLOUDEVENTS, CloudEvent
from whence.web.commands import url_name
from whence.web.eventstream import EVENT_STREAM
from whence.web.example import example_body
from whence.web.history import MAX_EVENTS
from whence.web.openapi_fields import (
    COMMAND_HEADERS,
    ID,
    IF_MATCH,
    IF_NONE_MATCH,
    LAST_EVENT_ID,
    MUST_NOT_EXIST,
    POSITION,
    REPLAYED,
    TEXT,
    VERSION_TAG,
    WAITING,
    Json,
    header,
    limit,
    path,
    query,
    whole,
)
from whence.web.problems import PROBLEM_JSON, Problem
from whence.web.views import MAX_ROWS

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
            [query("types", TEXT), query("after", TEXT), LAST_EVENT_ID],
            {"description": "Server-sent events", "content": _content(EVENT_STREAM, TEXT)},
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
        tag, an = kind.name, _an(kind)
        paths: Json = {
            base: _conditional(
                f"The state of {an}",
                tag,
                [ID, query("version", whole(1)), query("at", TEXT | {"format": "date-time"})],
                self._state(kind),
            ),
            f"{base}/events": _get(
                f"The events of {an}",
                tag,
                [ID, query("after", whole(0)), limit(MAX_EVENTS), LAST_EVENT_ID],
                self._events(),
            ),
            f"{base}/why": _conditional(
                f"Why {an} is as it is",
                tag,
                [ID, query("field", TEXT | {"enum": list(kind.cls.__struct_fields__)})],
                self._why(),
            ),
        }
        for command in kind.commands.values():
            path = paths.setdefault(f"{base}/{url_name(command.name)}", {"parameters": [ID]})
            path["post"] = self._command(kind, command)
            paths[f"/{kind.plural}/{url_name(command.name)}"] = {
                "post": self._creation(kind, command)
            }
        return paths

    def _events(self) -> Json:
        """A page of events in one of two forms, or all of them as they come."""
        page = _linked(self._answer("A page of its events", replies.EventsReply))
        batch: Json = {"type": "array", "items": self._refs[CloudEvent]}
        page["content"] |= _content(CLOUDEVENTS, batch) | _content(EVENT_STREAM, TEXT)
        return page

    def _state(self, kind: AggregateType) -> Json:
        refined: Json = {"state": self._refs[kind.cls]}
        return self._named(
            f"{kind.cls.__name__}StateReply", "Its state", replies.StateReply, refined
        )

    def _command(self, kind: AggregateType, command: CommandType) -> Json:
        summary = (command.function.__doc__ or f"{command.name} {_an(kind)}").split("\n")[0]
        done = self._done(kind)
        return {
            "operationId": f"{kind.name}-{url_name(command.name)}",
            "summary": summary,
            "tags": [kind.name],
            "parameters": [*COMMAND_HEADERS, IF_MATCH, MUST_NOT_EXIST],
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
            "parameters": COMMAND_HEADERS,
            "requestBody": self._body(command),
            "responses": {"200": done, "201": _created(done), **_COMMAND_PROBLEMS},
        }

    def _body(self, command: CommandType) -> Json:
        content = _content("application/json", self._refs[command.arguments])
        example = example_body(command)
        if example is not None:
            content["application/json"]["example"] = msgspec.json.decode(example)
        return {"required": bool(msgspec.structs.fields(command.arguments)), "content": content}

    def _done(self, kind: AggregateType) -> Json:
        """What a command answers: its events, or what a client prefers to them."""
        events = sorted(kind.events, key=lambda event: event.__name__)
        data: Json = {"anyOf": [self._refs[event] for event in events]}
        decided = {"events": {"items": {"properties": {"data": data}}}}
        name = f"{kind.cls.__name__}CommandReply"
        done = self._named(name, "What the command stored", replies.CommandReply, decided)
        schema = done["content"]["application/json"]
        state = self._state(kind)["content"]["application/json"]["schema"]
        schema["schema"] = {"anyOf": [schema["schema"], state, self._refs[replies.MinimalReply]]}
        headers = {
            "ETag": VERSION_TAG,
            "Idempotency-Replayed": REPLAYED,
            "Whence-Position": POSITION,
        }
        return done | {"headers": headers}

    def _view(self, projection: Projection[Any]) -> Json:
        base = f"/views/{projection.name}"
        row: Json = {
            "allOf": [
                self._refs[projection.rows.cls],
                {"type": "object", "properties": {"key": TEXT}, "required": ["key"]},
            ]
        }
        filters = [query(name, TEXT) for name in projection.rows.fields]
        paging = [limit(MAX_ROWS), query("after", TEXT), *WAITING]
        orders = [f"{sign}{name}" for name in projection.indexes.fields for sign in ("", "-")]
        if orders:
            paging.append(query("order", {"type": "string", "enum": orders}))
        rows = self._refined("A page of its rows", replies.ViewReply, {"rows": {"items": row}})
        one: Json = {"description": "The row", "content": _content("application/json", row)}
        return {
            base: _get(
                f"The rows of {projection.name}", "views", [*filters, *paging], _linked(rows)
            ),
            f"{base}/{{key}}": _get("One row", "views", [path("key"), *WAITING], one),
        }

    def _why(self) -> Json:
        forms = [self._refs[replies.WhyReply], self._refs[replies.WhyFieldReply]]
        content = _content("application/json", {"anyOf": forms})
        return {"description": "The events behind its fields", "content": content}

    def _answer(self, text: str, cls: type, media_type: str = "application/json") -> Json:
        return {"description": text, "content": _content(media_type, self._refs[cls])}

    def _named(self, name: str, text: str, cls: type, properties: Json) -> Json:
        """A refined reply with a name, so that a generated client has one class of it."""
        self._schemas[name] = {"allOf": [self._refs[cls], {"properties": properties}]}
        schema: Json = {"$ref": f"#/components/schemas/{name}"}
        return {"description": text, "content": _content("application/json", schema)}

    def _refined(self, text: str, cls: type, properties: Json) -> Json:
        """A reply with what its class leaves open."""
        schema: Json = {"allOf": [self._refs[cls], {"properties": properties}]}
        return {"description": text, "content": _content("application/json", schema)}


def _an(kind: AggregateType) -> str:
    return f"an {kind.name}" if kind.name[0] in "aeiou" else f"a {kind.name}"


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
    described = {path: _get(text, "about", [], document) for path, text in texts.items()}
    page: Json = {"description": "A page", "content": _content("text/html", TEXT)}
    return described | {"/docs": _get("This document as a page", "about", [], page)}


def _get(summary: str, tag: str, parameters: list[Json], done: Json) -> Json:
    responses = {"200": done, **_READ_PROBLEMS}
    operation: Json = {"summary": summary, "tags": [tag], "responses": responses}
    if parameters:
        operation["parameters"] = parameters
    return {"get": operation}


def _conditional(summary: str, tag: str, parameters: list[Json], done: Json) -> Json:
    """A read whose answer has a version, so that a client need not get it twice."""
    done = done | {"headers": {"ETag": VERSION_TAG}}
    described = _get(summary, tag, [*parameters, IF_MATCH, IF_NONE_MATCH], done)
    described["get"]["responses"]["304"] = {"description": "The client has this version"}
    return described


def _linked(done: Json) -> Json:
    return done | {"headers": {"Link": header("The next page, if there is one.")}}


def _created(done: Json) -> Json:
    location = header("Where the new aggregate is.")
    return done | {"headers": done["headers"] | {"Location": location}}


def _content(media_type: str, schema: Json) -> Json:
    return {media_type: {"schema": schema}}
