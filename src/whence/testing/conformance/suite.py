"""What every part of the suite stands on: the store under test, and the ways to look behind it."""

from collections.abc import AsyncIterator, Sequence
from typing import ClassVar
from uuid import uuid4

import pytest
import pytest_asyncio

from whence.store.eventstore import EventStore, open_store
from whence.testing.conformance.keyspace import strange_keys


@pytest.mark.asyncio(loop_scope="function")
class Suite:
    """A subclass has a fixture ``url``; each test then has a new store on that server.

    Attributes:
        durability: what the server keeps, see ``open_store``.
    """

    durability: ClassVar[str] = "fsync"

    @pytest.fixture
    def url(self) -> str:
        """The server under test, for each backend to give."""
        pytest.fail(f"{type(self).__name__} needs a fixture url: the URL of the server under test")

    @pytest.fixture
    def namespace(self) -> str:
        """A name that no other test uses on that server."""
        return f"t-{uuid4().hex[:16]}"

    @pytest_asyncio.fixture(loop_scope="function")
    async def store(self, url: str, namespace: str) -> AsyncIterator[EventStore]:
        """A new store of 8 partitions; in the end its keys are looked at, and deleted."""
        async with open_store(
            url, namespace=namespace, partitions=8, durability=self.durability
        ) as store:
            yield store
            found = await self.keys_of(store)
            await store.ask_many([("DEL", key) for key in found])
        strange = strange_keys(found)
        assert not strange, f"keys outside the grammar: {strange}"

    async def keys_of(self, store: EventStore) -> Sequence[bytes]:
        """Every key whose name has the store's namespace, on all servers of a Cluster."""
        replies = await store.replies_of_each(("KEYS", f"*{store.keys.namespace}*"))
        return [key for (keys,) in replies.values() for key in keys]

    async def forget_scripts(self, store: EventStore) -> None:
        """Make all servers forget every script, as a restart does."""
        await store.replies_of_each(("SCRIPT", "FLUSH"))
