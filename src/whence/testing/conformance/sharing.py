"""One server, several stores; one store, several programs."""

import pytest

from whence.actors.load import load
from whence.actors.runtime import Runtime
from whence.store.append import Committed
from whence.store.errors import StoreMismatch
from whence.store.eventstore import EventStore, open_store
from whence.testing.conformance.accounts import (
    Account,
    Deposited,
    Opened,
    Weighed,
    account,
    append_of,
    model,
)
from whence.testing.conformance.reads import events_of
from whence.testing.conformance.suite import Suite


class Sharing(Suite):
    """What a store keeps beside its events, for every program that opens it."""

    async def test_two_stores_on_one_server_see_each_other(
        self, store: EventStore, url: str, namespace: str
    ) -> None:
        async with open_store(url, namespace=namespace, durability=self.durability) as other:
            assert other.identity == store.identity
            await other.append(append_of(account(), 0, Weighed(1.5, ("a", "b"))))

        assert await events_of(store, account()) == [Weighed(1.5, ("a", "b"))]

    async def test_a_namespace_keeps_stores_apart(
        self, store: EventStore, url: str, namespace: str
    ) -> None:
        async with open_store(url, namespace=f"{namespace}-b", durability=self.durability) as other:
            await other.append(append_of(account(), 0, Opened("ann")))

        assert await store.head(account()) == 0

    async def test_a_store_keeps_the_partition_count_it_was_made_with(
        self, store: EventStore, url: str, namespace: str
    ) -> None:
        with pytest.raises(StoreMismatch, match="has 8 partitions, not 32"):
            async with open_store(
                url, namespace=namespace, partitions=32, durability=self.durability
            ):
                pass

    async def test_a_script_that_the_server_forgot_is_sent_again(self, store: EventStore) -> None:
        await store.append(append_of(account(), 0, Opened("ann")))
        await self.forget_scripts(store)

        outcome = await store.append(append_of(account(), 1, Deposited(1)))

        assert isinstance(outcome, Committed)

    async def test_positions_and_versions_stay_exact_beyond_what_floats_print(
        self, store: EventStore
    ) -> None:
        last = 10**14
        fields = ("t", "Opened", "s", 1, "d", "{}", "c", "x", "o", 1, "p", 1, "k", 0)
        await store.ask("XADD", store.keys.stream(account()), f"0-{last}", *fields)

        outcome = await store.append(append_of(account(), last, Deposited(1)))

        assert isinstance(outcome, Committed)
        assert outcome.version == last + 1
        (entry,) = await store.ask("XREVRANGE", store.keys.stream(account()), "+", "-", "COUNT", 1)
        assert entry[0] == b"0-100000000000001"

    async def test_a_snapshot_stands_beside_its_stream_and_is_loaded_from(
        self, store: EventStore
    ) -> None:
        async with Runtime(store, model, snapshot_every=100) as runtime:
            await runtime.send(Account.deposit, "42", amount=2, times=150)
        await store.append(append_of(account(), 150, Deposited(1)))

        found = await load(store, model.events, model.of_class(Account), account())

        assert (found.state, found.version, found.snapshot) == (Account(301), 151, 150)
