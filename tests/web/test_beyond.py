"""A place that the log does not have: nobody waits in silence for what may never come."""

import pytest

from tests.web.client import Client, problem
from whence.store.eventstore import EventStore
from whence.web.places import InLog

STREAM = {"accept": "text/event-stream"}


async def test_a_version_beyond_the_stream(client: Client) -> None:
    await client.placed("42")
    path = "/orders/42/events"
    beyond = {**STREAM, "last-event-id": "7"}
    found = problem(await client.get(path, headers=beyond), 422, "invalid-input", "last-event-id")
    assert "ends at version 1" in found["detail"]
    problem(await client.get(f"{path}?after=2", headers=STREAM), 422, "invalid-input", "after")


@pytest.mark.parametrize("header", [True, False])
async def test_a_position_beyond_the_log(client: Client, store: EventStore, header: bool) -> None:
    await client.placed("42")
    heads = await store.feed_heads(range(store.keys.partitions))
    place = str(InLog(store, [head + 1 for head in heads], lambda _: True))
    if header:
        response = await client.get("/events", headers={"last-event-id": place})
    else:
        response = await client.get("/events", params={"after": place})
    problem(response, 422, "invalid-input", "last-event-id" if header else "after")
