"""The Explorer over the accounts and cases of these tests, on a store in memory."""

from collections.abc import AsyncIterator

import pytest

from tests.web.client import Client
from tests.web.explorer.domain import domain
from whence import Runtime
from whence.store.eventstore import EventStore
from whence.web.app import create_app


@pytest.fixture
async def accounts(store: EventStore) -> AsyncIterator[Client]:
    async with (
        Runtime(store, domain.write_model) as runtime,
        Client.of(create_app(domain, store, runtime)) as client,
    ):
        yield client
