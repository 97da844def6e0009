"""Prefer: return=minimal, return=representation."""

import pytest

from tests.web.client import CANCEL, PLACE, Client
from whence.store.errors import StoreUnavailable
from whence.web import commands


async def test_minimal_answers_without_the_events(client: Client) -> None:
    headers = {"prefer": "return=minimal"}
    made = await client.post("/orders/42/place", json=PLACE, headers=headers)
    changed = await client.post("/orders/42/cancel", json=CANCEL, headers=headers)

    assert (made.status_code, changed.status_code) == (201, 200)
    assert made.headers["location"] == "/orders/42"
    assert changed.headers["etag"] == '"2"'
    assert changed.headers["preference-applied"] == "return=minimal"
    assert sorted(changed.json()) == ["id", "partition", "position", "version"]
    assert (made.json()["version"], changed.json()["version"]) == (1, 2)


async def test_representation_answers_with_the_state(client: Client) -> None:
    headers = {"prefer": "return=representation"}
    response = await client.post("/orders/42/place", json=PLACE, headers=headers)

    assert response.status_code == 201
    assert response.headers["preference-applied"] == "return=representation"
    assert response.headers["content-location"] == "/orders/42?version=1"
    assert response.json() == await client.document("/orders/42")


async def test_representation_of_a_repeated_command_is_the_state_it_led_to(client: Client) -> None:
    headers = {"prefer": "return=representation", "idempotency-key": "k1"}
    first = await client.post("/orders/42/place", json=PLACE, headers=headers)
    await client.command("/orders/42/cancel", CANCEL)
    again = await client.post("/orders/42/place", json=PLACE, headers=headers)

    assert again.json() == first.json()
    assert again.json()["state"]["status"] == "pending"


async def test_a_state_that_cannot_be_read_does_not_make_the_command_undone(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object, **__: object) -> None:
        raise StoreUnavailable("here", "away")

    monkeypatch.setattr(commands, "state_at", away)
    headers = {"prefer": "return=representation"}
    response = await client.post("/orders/42/place", json=PLACE, headers=headers)

    assert response.status_code == 201
    assert "preference-applied" not in response.headers
    assert response.json()["events"]


@pytest.mark.parametrize(
    ("text", "applied"),
    [
        ("Return=Minimal", "return=minimal"),
        ('return="minimal"', "return=minimal"),
        ("wait=10, return=minimal; foo=1", "return=minimal"),
        ("return=minimal, return=representation", "return=minimal"),
        ("return=everything", None),
        ("respond-async", None),
        ("", None),
    ],
)
async def test_what_is_not_known_is_passed_over(
    client: Client, text: str, applied: str | None
) -> None:
    response = await client.post("/orders/42/place", json=PLACE, headers={"prefer": text})

    assert response.status_code == 201
    assert response.headers.get("preference-applied") == applied
    assert ("events" in response.json()) == (applied is None)
