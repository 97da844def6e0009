"""/openapi.json: valid by the official schema, and true."""

import re
from typing import Any

import pytest
from openapi_schema_validator import OAS31Validator, validate
from openapi_spec_validator import OpenAPIV31SpecValidator

from examples.orders import domain
from tests.web.client import PLACE, Client, Json, problem
from whence.store.eventstore import EventStore
from whence.testing.views import catch_up


@pytest.fixture
async def description(client: Client) -> Json:
    return await client.document("/openapi.json")


def schema(description: Json, path: str, method: str, status: str) -> Json:
    """The schema of one answer, with the components it refers to."""
    responses = description["paths"][path][method]["responses"]
    content = responses[status]["content"]
    found: Json = content["application/json"]["schema"] | {"components": description["components"]}
    return found


def check(description: Json, path: str, method: str, status: str, document: Any) -> None:
    """Raise ValidationError unless the document is what the description promises."""
    validate(document, schema(description, path, method, status), OAS31Validator)


def test_it_is_valid(description: Json) -> None:
    assert description["openapi"].startswith("3.1.")
    errors = [str(error) for error in OpenAPIV31SpecValidator(description).iter_errors()]
    assert errors == []


def test_it_has_every_command_state_event_and_view(description: Json) -> None:
    kind = domain.write_model.aggregate("order")
    paths, schemas = description["paths"], description["components"]["schemas"]
    for name in kind.commands:
        assert "post" in paths[f"/orders/{{id}}/{name}"]
    for name in domain.read_model.projections:
        assert "get" in paths[f"/views/{name}"]
    names = {event.__name__ for event in kind.events} | {"Order", "OrderRow", "Problem"}
    assert names <= set(schemas)


def test_a_command_is_described_by_its_parameters(description: Json) -> None:
    operation = description["paths"]["/orders/{id}/cancel"]["post"]
    ref = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"]
    arguments = description["components"]["schemas"][ref.rpartition("/")[2]]
    assert arguments["required"] == ["reason", "cancelled_by"]
    assert arguments["additionalProperties"] is False
    assert arguments["properties"]["reason"] == {
        "type": "string",
        "minLength": 1,
        "maxLength": 500,
    }
    assert operation["requestBody"]["required"]
    assert not description["paths"]["/orders/{id}/approve"]["post"]["requestBody"]["required"]


async def test_every_address_it_names_is_there(client: Client, description: Json) -> None:
    for path, item in description["paths"].items():
        for method in item.keys() - {"parameters"}:
            if path == "/events":
                continue  # its answer has no end: tests/web/test_live.py reads it
            response = await client.request(method, re.sub(r"\{\w+\}", "42", path))
            assert response.status_code != 405, path
            if response.status_code == 404:
                assert response.json()["type"] != "urn:whence:problem:not-found", path


async def test_what_is_answered_is_what_it_says(
    client: Client, store: EventStore, description: Json
) -> None:
    placed = await client.command("/orders/42/place", PLACE)
    check(description, "/orders/{id}/place", "post", "201", placed.json())
    await catch_up(store, domain.read_model)
    for path in ("/orders/{id}", "/orders/{id}/events", "/orders/{id}/why"):
        document = await client.document(path.replace("{id}", "42"))
        check(description, path, "get", "200", document)
    field = await client.document("/orders/42/why?field=status")
    check(description, "/orders/{id}/why", "get", "200", field)
    rows = await client.document("/views/order-list")
    assert rows["total"] == 1
    check(description, "/views/{view}".format(view="order-list"), "get", "200", rows)
    row = await client.document("/views/order-list/42")
    check(description, "/views/order-list/{key}", "get", "200", row)


async def test_a_problem_is_what_it_says(client: Client, description: Json) -> None:
    found = problem(await client.get("/orders/%ff"), 422, "invalid-id", "id")
    (media,) = description["components"]["responses"]["Problem"]["content"].values()
    validate(found, media["schema"] | {"components": description["components"]}, OAS31Validator)
