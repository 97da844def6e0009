"""The Explorer over orders, and over the accounts and cases of these tests, all in memory."""

from collections.abc import AsyncIterator

import pytest
from starlette.applications import Starlette

from tests.web.client import Client
from tests.web.explorer.domain import NOON, Opened, Renamed, append, domain
from tests.web.serving import serving
from whence import Runtime
from whence.store.eventstore import EventStore
from whence.store.ids import StreamId
from whence.web.app import create_app


@pytest.fixture
async def accounts(store: EventStore) -> AsyncIterator[Client]:
    async with (
        Runtime(store, domain.write_model) as runtime,
        Client.of(create_app(domain, store, runtime)) as client,
    ):
        yield client


@pytest.fixture
async def base(app: Starlette) -> AsyncIterator[str]:
    """The address of the order domain."""
    async with serving(app) as port:
        yield f"http://127.0.0.1:{port}"
        app.state.live.end()


@pytest.fixture
async def accounts_base(store: EventStore) -> AsyncIterator[str]:
    """The address of accounts, one of them with five versions, a minute apart."""
    events = [Opened("ann"), *[Renamed(name) for name in ("bea", "cleo", "dora", "eve")]]
    await append(store, StreamId("account", "7"), events, at=NOON)
    async with Runtime(store, domain.write_model) as runtime:
        app = create_app(domain, store, runtime)
        async with serving(app) as port:
            yield f"http://127.0.0.1:{port}"
            app.state.live.end()
