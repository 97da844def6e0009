"""No secret of a client is in the log, whatever happens to its request."""

import logging

import pytest

from examples.orders import domain
from tests.web.client import PLACE, Client
from whence import Runtime
from whence.cli.logs import JsonLines
from whence.store.errors import CorruptStore
from whence.store.eventstore import EventStore
from whence.web.access import Access
from whence.web.apikeys import ApiKeys, new_key
from whence.web.app import create_app


async def test_no_key_is_in_the_log(
    store: EventStore,
    runtime: Runtime,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.handler.setFormatter(JsonLines())
    secret, key = new_key("checkout", "write")
    app = create_app(domain, store, runtime, access=Access([ApiKeys([key])]))

    async def corrupt(request: object) -> None:
        raise CorruptStore("a page is missing")

    async def broken(request: object) -> None:
        raise ZeroDivisionError

    async with Client.of(app) as client:
        for failing, status in ((corrupt, 500), (broken, 500)):
            monkeypatch.setattr(runtime, "execute", failing)
            for headers, expected in (
                ({"authorization": f"Bearer {secret}"}, status),
                ({"authorization": f"Bearer {secret}x"}, 401),
                ({"authorization": secret}, 401),
            ):
                response = await client.post("/orders/1/place", json=PLACE, headers=headers)
                assert response.status_code == expected
                assert secret not in response.text
    assert "a page is missing" in caplog.text  # what is looked at is the log
    assert secret not in caplog.text
