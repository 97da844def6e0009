"""The trace of a request: in the lines of the log, and in the metadata of its events."""

import json
import logging

import pytest
from starlette.applications import Starlette

from tests.web.client import PLACE, Client, problem
from whence import Runtime
from whence.actors.context import request_context
from whence.cli.logs import JsonLines
from whence.store.errors import CorruptStore
from whence.store.metadata import Metadata

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> logging.Handler:
    caplog.handler.setFormatter(JsonLines())
    return caplog.handler


async def failing(client: Client, runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    async def execute(request: object) -> None:
        raise CorruptStore("a page is missing")

    monkeypatch.setattr(runtime, "execute", execute)
    response = await client.post("/orders/1/place", json=PLACE, headers={"traceparent": PARENT})
    problem(response, 500, "corrupt-store")
    problem(await client.post("/orders/2/place", json=PLACE), 500, "corrupt-store")


async def test_a_line_names_the_trace_of_its_request(
    client: Client,
    runtime: Runtime,
    monkeypatch: pytest.MonkeyPatch,
    lines: logging.Handler,
    caplog: pytest.LogCaptureFixture,
) -> None:
    await failing(client, runtime, monkeypatch)
    first, second = [json.loads(line) for line in caplog.text.splitlines()]
    assert first["trace_id"] == TRACE
    assert first["level"] == "error"
    assert first["logger"] == "whence.web"
    assert first["message"] == "POST /orders/1/place: a page is missing"
    assert "trace_id" not in second


def test_a_line_names_the_trace_of_the_commands_at_hand() -> None:
    record = logging.LogRecord("n", logging.WARNING, "p", 1, "said %s", ("it",), None)
    with request_context(Metadata(trace=PARENT)):
        line = json.loads(JsonLines().format(record))
    assert (line["trace_id"], line["message"]) == (TRACE, "said it")


def test_a_traceback_stays_in_its_line() -> None:
    try:
        raise ValueError("line\nbreak")
    except ValueError as error:
        info = (ValueError, error, error.__traceback__)
        record = logging.LogRecord("n", logging.ERROR, "p", 1, "said", (), info)
    text = JsonLines().format(record)
    assert "\n" not in text
    assert "ValueError: line\nbreak" in json.loads(text)["exception"]


async def test_the_trace_is_stored_with_the_events(app: Starlette, client: Client) -> None:
    response = await client.post("/orders/1/place", json=PLACE, headers={"traceparent": PARENT})
    assert response.status_code == 201
    (event,) = (await client.document("/orders/1/events"))["events"]
    assert event["metadata"] == {"trace": PARENT, "correlation_id": TRACE}
