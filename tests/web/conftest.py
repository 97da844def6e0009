"""The order domain behind HTTP, on a store in memory."""

from collections.abc import AsyncIterator

import pytest
from starlette.applications import Starlette

from examples.orders import domain
from tests.web.client import Client
from whence import Runtime
from whence.store.eventstore import EventStore
from whence.web.app import create_app


@pytest.fixture
def url(namespace: str) -> str:
    return f"memory://{namespace}"


@pytest.fixture
async def runtime(store: EventStore) -> AsyncIterator[Runtime]:
    async with Runtime(store, domain.write_model) as runtime:
        yield runtime


@pytest.fixture
def app(store: EventStore, runtime: Runtime) -> Starlette:
    return create_app(domain, store, runtime)


@pytest.fixture
async def client(app: Starlette) -> AsyncIterator[Client]:
    async with Client.of(app) as client:
        yield client
