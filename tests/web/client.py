"""An HTTP client for one application, and what the tests say with it again and again."""

from collections.abc import Sequence
from typing import Any

import httpx
from starlette.types import ASGIApp

from whence.store.eventstore import EventStore

Json = dict[str, Any]

ITEM: Json = {"sku": "tea-01", "quantity": 2, "price": 450}
PLACE: Json = {"user_id": "ada", "items": [ITEM]}
CANCEL: Json = {"reason": "out of stock", "cancelled_by": "grace"}


class Client(httpx.AsyncClient):
    @classmethod
    def of(cls, app: ASGIApp) -> "Client":
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        return cls(transport=transport, base_url="http://whence.test")

    async def command(self, path: str, body: Json | None = None) -> httpx.Response:
        return await self.post(path, json={} if body is None else body)

    async def document(self, path: str) -> Json:
        """The document at an address that has to be there."""
        response = await self.get(path)
        assert response.status_code == 200, response.text
        assert response.headers["content-type"] == "application/json"
        found: Json = response.json()
        return found

    async def placed(self, *ids: str) -> None:
        for id_ in ids:
            response = await self.command(f"/orders/{id_}/place", PLACE)
            assert response.status_code == 201, response.text

    async def cancelled(self, *ids: str) -> None:
        await self.placed(*ids)
        for id_ in ids:
            response = await self.command(f"/orders/{id_}/cancel", CANCEL)
            assert response.status_code == 200, response.text


def problem(response: httpx.Response, status: int, name: str, field: str = "") -> Json:
    """The document of a response that has to be this problem."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    found: Json = response.json()
    assert found["type"] == f"urn:whence:problem:{name}", found
    assert found["status"] == status
    assert found["title"]
    assert found["detail"]
    assert found.get("field", "") == field, found
    return found


async def stored(store: EventStore) -> int:
    """How many events the whole store has."""
    heads: Sequence[int] = await store.feed_heads(range(store.keys.partitions))
    return sum(heads)
