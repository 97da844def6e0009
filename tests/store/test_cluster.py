"""A Cluster of real servers is one store: each command finds its node, and what belongs stays."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest

from examples.orders.domain import Item, Order, domain
from tests.projections.domain import view_of, working
from tests.store.cluster_server import TestCluster, node_id, slot, slots_of
from tests.store.domain import Deposited, Opened, account, append_of
from tests.store.plain_server import free_port, plain_server
from whence import Runtime
from whence.projections.status import wait_until_caught_up
from whence.store.address import Address
from whence.store.append import Committed
from whence.store.cluster import ClusterWire
from whence.store.doctor import examine, visit
from whence.store.durability import FSYNC
from whence.store.errors import DurabilityRefused, ServerRefused, StoreMismatch, StoreUnavailable
from whence.store.eventstore import EventStore, open_store
from whence.store.follow import follow
from whence.store.recorded import Recorded
from whence.store.routing import slot_of
from whence.store.topology import Node, Topology, parse_topology
from whence.store.wire import Command, ServerError, Wire

PARTITIONS = 16
# In the first, the second and the last third of the slots, as long as none is moved.
KEYS = ("{b}", "{c}", "{a}")


@pytest.fixture
async def wire(cluster: TestCluster) -> AsyncIterator[Wire]:
    wire = Address.parse(cluster.url).wire()
    yield wire
    await wire.close()


@pytest.fixture
async def store(cluster: TestCluster, namespace: str) -> AsyncIterator[EventStore]:
    async with open_store(cluster.url, namespace=namespace, partitions=PARTITIONS) as store:
        yield store


class TestRouting:
    @pytest.mark.parametrize(
        "command",
        [
            ("XADD", "{a}:x", "*", "f", "v"),
            ("HMGET", b"{a}:x", "f"),
            ("EVALSHA", "0" * 40, 2, "{a}:x", "{a}:y", "{b}"),
            ("EVAL", "return 1", 1, "{a}:x"),
            ("XREAD", "COUNT", 1, "STREAMS", "{a}:x", "0"),
            ("XREADGROUP", "GROUP", "g", "c", "NOACK", "STREAMS", "{a}:x", ">"),
            ("XGROUP", "CREATE", "{a}:x", "g", "0"),
            ("MEMORY", "USAGE", "{a}:x"),
        ],
    )
    def test_a_command_belongs_to_the_slot_of_its_first_key(self, command: Command) -> None:
        assert slot_of(command) == 15495  # of "a"

    @pytest.mark.parametrize(
        "command",
        [("PING",), ("WAIT", 1, 0), ("EVAL", "return 1", 0), ("KEYS", "*"), ("CONFIG", "GET", "x")],
    )
    def test_a_command_without_a_key_belongs_to_no_slot(self, command: Command) -> None:
        assert slot_of(command) is None

    def test_a_node_that_does_not_know_its_name_is_the_one_that_was_asked(self) -> None:
        asked = Node("asked", 1)
        reply = [[0, 99, [None, 7000, b"id"], [b"b", 7001, b"id"]], [100, 199, [b"", 7002, b"id"]]]

        topology = parse_topology(reply, asked)

        assert topology.primaries == [Node("asked", 7000), Node("asked", 7002)]
        assert topology.nodes == [Node("asked", 7000), Node("b", 7001), Node("asked", 7002)]
        assert (topology.owner(99), topology.owner(200)) == (Node("asked", 7000), None)


class TestWire:
    async def test_replies_come_in_the_order_of_the_commands(self, wire: Wire) -> None:
        for key in KEYS:
            await wire.call([("SET", key, f"of {key}")])

        assert await wire.call([("GET", key) for key in KEYS * 50]) == [
            f"of {key}".encode() for key in KEYS * 50
        ]

    async def test_what_has_no_key_goes_where_the_command_before_it_went(
        self, wire: Wire, cluster: TestCluster
    ) -> None:
        commands = [command for key in KEYS for command in (("GET", key), ("CLUSTER", "MYID"))]

        replies = await wire.call([("CLUSTER", "MYID"), *commands])

        nodes = [cluster.owner_of(key).ask("CLUSTER", "MYID") for key in KEYS]
        assert replies[2::2] == nodes
        assert replies[0] in {server.ask("CLUSTER", "MYID") for server in cluster.primaries}

    async def test_every_primary_can_be_asked(self, wire: Wire, cluster: TestCluster) -> None:
        replies = await wire.each([("CLUSTER", "MYID")])

        assert replies == {
            f"127.0.0.1:{server.port}": [node_id(server).encode()] for server in cluster.primaries
        }

    async def test_a_command_that_was_sent_to_the_wrong_node_is_sent_on_with_what_follows_it(
        self, wire: Wire, cluster: TestCluster
    ) -> None:
        await wire.call([("SET", KEYS[0], "here")])
        assert isinstance(wire, ClusterWire)
        owner = cluster.owner_of(KEYS[0])
        other = next(server for server in cluster.primaries if server is not owner)
        stale = Topology([(0, 16_383, [Node("127.0.0.1", other.port)])])
        wire._topology = stale  # pyright: ignore[reportPrivateUsage]

        found, node = await wire.call([("GET", KEYS[0]), ("CLUSTER", "MYID")])

        assert (found, node) == (b"here", node_id(owner).encode())

    async def test_a_slot_on_its_way_is_asked_for_where_its_keys_are(
        self, wire: Wire, cluster: TestCluster
    ) -> None:
        number, source = slot(KEYS[0]), cluster.owner_of(KEYS[0])
        target, other = (server for server in cluster.primaries if server is not source)
        await wire.call([("SET", KEYS[0], "here")])
        target.ask("CLUSTER", "SETSLOT", number, "IMPORTING", node_id(source))
        source.ask("CLUSTER", "SETSLOT", number, "MIGRATING", node_id(target))
        try:
            source.ask("MIGRATE", "127.0.0.1", target.port, KEYS[0], 0, 5000)

            calls = [wire.call([("GET", KEYS[0]), ("CLUSTER", "MYID")]) for _ in range(50)]
            replies = await asyncio.gather(*calls)

            assert replies == [[b"here", node_id(target).encode()]] * 50
        finally:
            for server in (target, source, other):
                server.ask("CLUSTER", "SETSLOT", number, "NODE", node_id(target))

    async def test_what_the_server_refuses_stands_in_its_place(self, wire: Wire) -> None:
        error, found = await wire.call(
            [("XREAD", "STREAMS", "{a}", "{b}", "0", "0"), ("ECHO", "x")]
        )

        assert isinstance(error, ServerError)
        assert "CROSSSLOT" in str(error)
        assert found == b"x"

    async def test_a_wire_that_was_closed_stays_closed(self, cluster: TestCluster) -> None:
        wire = Address.parse(cluster.url).wire()
        await wire.call([("GET", KEYS[0])])
        await wire.close()

        for key in KEYS:
            with pytest.raises(StoreUnavailable, match="closed"):
                await wire.call([("GET", key)])


class TestStore:
    async def test_one_partition_that_fails_harms_only_its_own_appends(
        self, store: EventStore
    ) -> None:
        await store.ask("SET", store.keys.feed(0), "no stream")
        appends = [append_of(account(str(number)), 0, Opened("ann")) for number in range(100)]

        outcomes = await store.append_many(appends)

        for append, outcome in zip(appends, outcomes, strict=True):
            broken = store.keys.partition(append.stream) == 0
            assert isinstance(outcome, ServerRefused if broken else Committed)

    async def test_a_refused_call_harms_only_its_own_appends(
        self, store: EventStore, cluster: TestCluster
    ) -> None:
        """A server that is full refuses the script as a whole; the others go on."""
        full = cluster.owner_of(store.keys.feed(0))
        full.ask("CONFIG", "SET", "maxmemory", 1)
        try:
            appends = [append_of(account(str(number)), 0, Opened("ann")) for number in range(100)]
            outcomes = await store.append_many(appends)
        finally:
            full.ask("CONFIG", "SET", "maxmemory", 0)

        slots = slots_of(store.keys)
        for append, outcome in zip(appends, outcomes, strict=True):
            refused = cluster.owner(slots[store.keys.partition(append.stream)]) is full
            assert isinstance(outcome, ServerRefused if refused else Committed), outcome
        assert {type(outcome) for outcome in outcomes} == {ServerRefused, Committed}

    async def test_commands_and_read_models_work_as_on_one_server(self, store: EventStore) -> None:
        async with (
            Runtime(store, domain.write_model) as runtime,
            working(store, domain.read_model),
        ):
            item = Item("book", 2, 1500)
            async with asyncio.TaskGroup() as tasks:
                for number in range(100):
                    order = runtime.send(Order.place, str(number), user_id="ann", items=(item,))
                    tasks.create_task(order)
            for number in range(0, 100, 2):
                await runtime.send(Order.ship, str(number), carrier="DHL")
            for projection in domain.read_model.projections.values():
                await wait_until_caught_up(store, projection)

        orders = await view_of(store, domain.read_model.projection("order-list"))
        assert [row.status for row in orders.values()].count("shipped") == 50
        (day,) = (await view_of(store, domain.read_model.projection("sales-per-day"))).values()
        assert (day.orders, day.total) == (100, 300_000)

    async def test_following_sees_every_event_once(self, store: EventStore) -> None:
        seen: list[Recorded] = []

        async def collect() -> None:
            async with aclosing(follow(store)) as records:
                async for record in records:
                    seen.append(record)
                    if len(seen) == 200:
                        return

        following = asyncio.create_task(collect())
        for version in range(2):
            event = Deposited(1) if version else Opened("ann")
            appends = [append_of(account(str(number)), version, event) for number in range(100)]
            await store.append_many(appends)
        async with asyncio.timeout(20):
            await following

        assert len({(record.id, record.version) for record in seen}) == 200


class TestServers:
    async def test_every_primary_has_to_keep_what_is_promised(
        self, cluster: TestCluster, namespace: str
    ) -> None:
        # Not one that is visited anyway.
        visited = (cluster.owner(0), cluster.owner_of(f"{namespace}:identity"))
        careless = next(server for server in cluster.primaries if server not in visited)
        careless.ask("CONFIG", "SET", "appendfsync", "everysec")
        try:
            with pytest.raises(DurabilityRefused, match=f"127.0.0.1:{careless.port} .*everysec"):
                async with open_store(cluster.url, namespace=namespace):
                    pass
        finally:
            careless.ask("CONFIG", "SET", "appendfsync", "always")

    async def test_the_doctor_looks_at_every_primary(self, cluster: TestCluster) -> None:
        careless = cluster.primaries[2]
        careless.ask("CONFIG", "SET", "appendfsync", "everysec")
        try:
            async with visit(cluster.url) as store:
                findings = {f.name: f for f in await examine(store, FSYNC)}
        finally:
            careless.ask("CONFIG", "SET", "appendfsync", "always")

        assert findings[f"appendfsync of 127.0.0.1:{careless.port}"].verdict == "danger"
        (others,) = (
            f for f in findings.values() if f.name.startswith("appendfsync") and f.found == "always"
        )
        assert all(f":{server.port}" in others.name for server in cluster.primaries[:2])
        assert findings["appendonly"].found == "yes"
        assert findings["failover"].verdict == "warning"

    async def test_a_url_of_one_node_says_what_to_use(
        self, cluster: TestCluster, namespace: str
    ) -> None:
        owner = cluster.owner_of(f"{namespace}:identity")
        other = next(server for server in cluster.primaries if server is not owner)

        with pytest.raises(ServerRefused, match=r"use redis\+cluster://"):
            async with open_store(other.url, namespace=namespace):
                pass

    async def test_a_server_that_is_no_cluster_says_so(self, tmp_path: Path) -> None:
        with plain_server(tmp_path) as server, pytest.raises(StoreMismatch, match="no Cluster"):
            async with open_store(server.url.replace("redis://", "redis+cluster://")):
                pass

    async def test_nodes_that_are_away_are_named(self) -> None:
        port = free_port()
        with pytest.raises(StoreUnavailable, match=f"127.0.0.1:{port}") as caught:
            async with open_store(f"redis+cluster://:secret@127.0.0.1:{port}"):
                pass
        assert "secret" not in str(caught.value)
