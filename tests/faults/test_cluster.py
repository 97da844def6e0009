"""Slots move and primaries are killed while commands run: no gap, no duplicate, nothing lost."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from tests.faults.load import AGGREGATES, Load, under_load
from tests.store.cluster_server import (
    TestCluster,
    cluster_node,
    cluster_server,
    in_step,
    node_id,
    slots_of,
    text,
)
from tests.store.plain_server import PlainServer, eventually
from whence.store.eventstore import EventStore, open_store

PARTITIONS = 16
ALL = {str(number) for number in range(AGGREGATES)}

Move = Callable[[TestCluster, int, PlainServer], None]


@pytest.fixture
def own_cluster(tmp_path: Path) -> Iterator[TestCluster]:
    """A Cluster of this test alone, each primary with a replica."""
    with cluster_server(tmp_path, replicas=1) as cluster:
        yield cluster


def key_by_key(cluster: TestCluster, slot: int, target: PlainServer) -> None:
    """Move a slot as every release can: while it is on its way, its keys are on both sides."""
    source = cluster.owner(slot)
    target.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", node_id(source))
    source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", node_id(target))
    while keys := source.ask("CLUSTER", "GETKEYSINSLOT", slot, 1):
        source.ask("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *keys)
    for server in (target, source, *(p for p in cluster.primaries if p not in (target, source))):
        server.ask("CLUSTER", "SETSLOT", slot, "NODE", node_id(target))


def at_once(cluster: TestCluster, slot: int, target: PlainServer) -> None:
    """Move a slot as Valkey 9 can: its keys arrive together."""
    source = cluster.owner(slot)
    source.ask("CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", slot, slot, "NODE", node_id(target))

    def moved() -> bool:
        jobs = text(source.ask("CLUSTER", "GETSLOTMIGRATIONS"))
        assert "failed" not in jobs, jobs
        return cluster.owner(slot) is target

    eventually(moved, "the slot")


async def _quiet(cluster: TestCluster, load: Load) -> None:
    """500 commands without one that is pointed elsewhere, or one more look at who has which slot.

    A look that was asked for by the last move may still come, so the first round need not be it.
    """
    for _ in range(3):
        before = cluster.errors_of("MOVED"), cluster.calls_of("cluster|slots")
        await load.more(500)
        if (cluster.errors_of("MOVED"), cluster.calls_of("cluster|slots")) == before:
            return
    raise AssertionError("MOVED errors, or looks at the slots, go on and on")


@pytest.mark.parametrize("move", [key_by_key, at_once])
async def test_slots_move_under_load_and_nothing_is_lost_or_twice(
    cluster: TestCluster, namespace: str, move: Move
) -> None:
    async with (
        open_store(cluster.url, namespace=namespace, partitions=PARTITIONS) as store,
        under_load(store) as load,
    ):
        await load.more(200)
        for slot in slots_of(store.keys):
            others = [server for server in cluster.primaries if server is not cluster.owner(slot)]
            await asyncio.to_thread(move, cluster, slot, others[0])
            await load.more(20)

        # Every stream goes on, and then nothing is pointed elsewhere any more.
        await load.more_of_each(ALL)
        await _quiet(cluster, load)


async def test_a_killed_primary_loses_nothing_that_its_replica_acknowledged(
    own_cluster: TestCluster, tmp_path: Path, namespace: str
) -> None:
    victim, heir = own_cluster.primaries[0], own_cluster.replicas[0]
    async with opened(own_cluster, namespace) as store, under_load(store) as load:
        await load.more(300)
        victim.kill()
        await asyncio.to_thread(eventually, lambda: is_primary(heir), "the failover")
        with cluster_node(tmp_path / "0", port=victim.port):
            await asyncio.to_thread(eventually, lambda: in_step(heir) == 1, "its replica")
            await load.more_of_each(ALL)
            await load.stop()
            await load.check()


async def test_a_primary_that_hands_over_loses_nothing(
    own_cluster: TestCluster, namespace: str
) -> None:
    async with opened(own_cluster, namespace) as store, under_load(store) as load:
        for heir in own_cluster.replicas:
            await load.more(200)
            heir.ask("CLUSTER", "FAILOVER")
            await asyncio.to_thread(eventually, lambda h=heir: is_primary(h), "the failover")  # type: ignore[misc]
        await load.more_of_each(ALL)
    assert load.unknown == 0


def opened(cluster: TestCluster, namespace: str) -> AbstractAsyncContextManager[EventStore]:
    return open_store(
        cluster.url, namespace=namespace, partitions=PARTITIONS, durability="replicated:1"
    )


def is_primary(server: PlainServer) -> bool:
    return bool(server.ask("ROLE")[0] == b"master")
