"""The headers that say where a request comes from: stored with its events."""

import pytest

from tests.web.client import PLACE, Client, Json, problem, stored
from whence.store.eventstore import EventStore

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
TRACE = f"00-{TRACE_ID}-b7ad6b7169203331-01"


async def place(client: Client, headers: list[tuple[str, str]]) -> Json:
    """The metadata of the event that the command stored."""
    response = await client.post("/orders/42/place", json=PLACE, headers=headers)
    assert response.status_code == 201, response.text
    document = await client.document("/orders/42/events")
    metadata: Json = document["events"][0]["metadata"]
    return metadata


async def test_a_correlation_id_is_stored(client: Client) -> None:
    assert await place(client, [("X-Correlation-ID", "req-7")]) == {"correlation_id": "req-7"}


async def test_a_trace_is_stored_and_names_the_story(client: Client) -> None:
    assert await place(client, [("traceparent", TRACE)]) == {
        "correlation_id": TRACE_ID,
        "trace": TRACE,
    }


async def test_a_correlation_id_comes_before_the_trace(client: Client) -> None:
    assert await place(client, [("traceparent", TRACE), ("X-Correlation-ID", "req-7")]) == {
        "correlation_id": "req-7",
        "trace": TRACE,
    }


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("traceparent", "junk")],
        [("traceparent", TRACE.replace("00-", "ff-", 1))],
        [("traceparent", TRACE), ("traceparent", TRACE)],
        [("traceparent", "x" * 5_000)],
    ],
)
async def test_a_trace_that_is_none_is_ignored(
    client: Client, headers: list[tuple[str, str]]
) -> None:
    assert await place(client, headers) == {}


@pytest.mark.parametrize("value", ["", "a b", "{a}", "a" * 129, "\xe9"])
async def test_a_correlation_id_that_cannot_be_one_is_refused(
    client: Client, store: EventStore, value: str
) -> None:
    refused = await client.post(
        "/orders/42/place", json=PLACE, headers=[(b"X-Correlation-ID", value.encode())]
    )

    problem(refused, 422, "invalid-id", "X-Correlation-ID")
    assert await stored(store) == 0
