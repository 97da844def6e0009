"""The OpenAPI document as a page shows it: flat, with every reference followed or linked."""

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

Json = Mapping[str, Any]

_METHODS = ("get", "post")
_BOUNDS = {"minimum": "≥ {}", "maximum": "≤ {}", "exclusiveMinimum": "> {}"}


class Field(NamedTuple):
    """One thing that a request takes, or a schema has.

    ``place`` is path, query, header or body; ``link`` is the schema of its own, or empty.
    """

    name: str
    place: str
    shape: str
    link: str
    required: bool
    about: str


class Answer(NamedTuple):
    """What comes back under a status."""

    status: str
    about: str


class Operation(NamedTuple):
    """One address and method; ``curl`` lacks only the server in front of the path."""

    id: str
    method: str
    path: str
    summary: str
    fields: Sequence[Field]
    answers: Sequence[Answer]
    curl_path: str
    curl_options: str


class Group(NamedTuple):
    """The operations under one tag."""

    name: str
    operations: Sequence[Operation]


class Schema(NamedTuple):
    """A named type."""

    name: str
    about: str
    fields: Sequence[Field]
    shape: str


class Reference:
    """What there is to say about a document."""

    def __init__(self, document: Json) -> None:
        self._schemas: Json = document["components"]["schemas"]
        self._responses: Json = document["components"]["responses"]
        groups: dict[str, list[Operation]] = {}
        for path, item in document["paths"].items():
            for method in _METHODS:
                if method in item:
                    operation = self._operation(method, path, item)
                    groups.setdefault(item[method]["tags"][0], []).append(operation)
        self.groups = [Group(name, found) for name, found in groups.items()]
        self.schemas = [self._schema(name, found) for name, found in self._schemas.items()]

    def _operation(self, method: str, path: str, item: Json) -> Operation:
        found: Json = item[method]
        body: Json = found.get("requestBody", {}).get("content", {}).get("application/json", {})
        given = [*item.get("parameters", ()), *found.get("parameters", ())]
        fields = [_parameter(one) for one in given]
        if body:
            name = _link(body["schema"])
            fields += self._fields(self._schemas[name], "body")
        name = f"{method}-{path.strip('/')}".replace("/", "-").replace("{", "").replace("}", "")
        return Operation(
            name,
            method.upper(),
            path,
            found["summary"],
            fields,
            list(self._answers(found)),
            path.replace("{id}", "42").replace("{key}", "42"),
            _options(body) if method == "post" else "",
        )

    def _answers(self, operation: Json) -> Iterator[Answer]:
        for status, answer in sorted(operation["responses"].items()):
            name = answer.get("$ref", "").rpartition("/")[2]
            yield Answer(status, (self._responses[name] if name else answer)["description"])

    def _schema(self, name: str, schema: Json) -> Schema:
        about = schema.get("description", "")
        return Schema(name, about, self._fields(schema, ""), _shape(schema))

    def _fields(self, schema: Json, place: str) -> list[Field]:
        required = schema.get("required", ())
        return [
            Field(
                name, place, _shape(one), _link(one), name in required, one.get("description", "")
            )
            for name, one in schema.get("properties", {}).items()
        ]


def _parameter(found: Json) -> Field:
    schema = found["schema"]
    about = found.get("description", "")
    return Field(found["name"], found["in"], _shape(schema), "", found["required"], about)


def _options(body: Json) -> str:
    example = body.get("example")
    if example is None:
        return " -X POST"
    written = shlex.quote(json.dumps(example, ensure_ascii=False))
    return f" -H 'content-type: application/json' -d {written}"


def _link(schema: Json) -> str:
    """The named type that a schema is, or is a list of; empty without one."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    return _link(schema["items"]) if schema.get("items") else ""


def _shape(schema: Json) -> str:
    """A schema in a few words."""
    if "$ref" in schema:
        return _link(schema)
    if "enum" in schema:
        return " | ".join(json.dumps(one, ensure_ascii=False) for one in schema["enum"])
    alternatives = schema.get("anyOf") or schema.get("oneOf")
    if alternatives:
        return " | ".join(_shape(one) for one in alternatives)
    if schema.get("type") == "array":
        return f"list of {_shape(schema.get('items', {})) or 'anything'}"
    words = [str(schema.get("type", "")), str(schema.get("format", ""))]
    words += [text.format(schema[name]) for name, text in _BOUNDS.items() if name in schema]
    if "maxLength" in schema:
        words.append(f"{schema.get('minLength', 0)} to {schema['maxLength']} characters")
    return ", ".join(word for word in words if word)
