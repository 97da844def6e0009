"""A Cluster of the wheel's own servers, made without a command line tool."""

from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from redis.crc import key_slot

from tests.store.plain_server import PlainServer, ask, eventually, free_port, plain_server
from whence.store.keys import Keys

SLOTS = 16_384
# Milliseconds after which a node that does not answer counts as failed.
NODE_TIMEOUT_MS = 1_000


class TestCluster:
    """Primaries that share the slots evenly, each with ``replicas`` of its own.

    Attributes:
        primaries: as they were at the start.
        replicas: those of the first primary, then those of the second, and so on.
    """

    __test__ = False

    def __init__(self, primaries: Sequence[PlainServer], replicas: Sequence[PlainServer]) -> None:
        self.primaries = primaries
        self.replicas = replicas

    @property
    def servers(self) -> list[PlainServer]:
        return [*self.primaries, *self.replicas]

    @property
    def url(self) -> str:
        """Two nodes are enough to find the others."""
        nodes = ",".join(f"127.0.0.1:{server.port}" for server in self.primaries[:2])
        return f"redis+cluster://{nodes}"

    def owner(self, slot: int) -> PlainServer:
        """The primary that has a slot, as the first server tells."""
        for first, last, primary, *_ in self.primaries[0].ask("CLUSTER", "SLOTS"):
            if first <= slot <= last:
                return next(s for s in self.servers if s.port == primary[1])
        raise AssertionError(f"nobody has slot {slot}")

    def owner_of(self, key: str) -> PlainServer:
        return self.owner(slot(key))

    def calls_of(self, command: str) -> int:
        """How often the running servers were sent a command, ``cluster|slots`` for one."""
        return sum(
            stats[f"cmdstat_{command}"]["calls"]
            for server in self.servers
            if server.running
            for stats in [server.ask("INFO", "commandstats")]
            if f"cmdstat_{command}" in stats
        )

    def errors_of(self, code: str) -> int:
        """How often the running servers answered with an error, ``MOVED`` for one."""
        return sum(
            stats[f"errorstat_{code}"]["count"]
            for server in self.servers
            if server.running
            for stats in [server.ask("INFO", "errorstats")]
            if f"errorstat_{code}" in stats
        )


def slot(key: str) -> int:
    return int(key_slot(key.encode()))


def slots_of(keys: Keys) -> list[int]:
    """The slot of each partition."""
    return [slot(keys.feed(number)) for number in range(keys.partitions)]


def node_id(server: PlainServer) -> str:
    return text(server.ask("CLUSTER", "MYID"))


def text(reply: Any) -> str:
    return reply.decode() if isinstance(reply, bytes) else str(reply)


@contextmanager
def cluster_server(
    folder: Path,
    *,
    primaries: int = 3,
    replicas: int = 0,
    settings: Callable[[], Sequence[str]] = tuple,
    program: str | None = None,
) -> Generator[TestCluster]:
    """Start a Cluster in ``folder``; ``replicas`` is how many each primary has.

    ``settings`` gives those of one more node; ``program`` as for ``plain_server``.
    """
    count = primaries * (1 + replicas)
    with ExitStack() as stack:
        servers = [
            stack.enter_context(cluster_node(folder / str(number), *settings(), program=program))
            for number in range(count)
        ]
        cluster = TestCluster(servers[:primaries], servers[primaries:])
        _assign(cluster.primaries)
        for server in servers[1:]:
            servers[0].ask("CLUSTER", "MEET", "127.0.0.1", server.port, server.bus_port)
        eventually(lambda: all(_knows(s, count, 0) for s in servers), "the acquaintance")
        for number, replica in enumerate(cluster.replicas):
            _follow(replica, cluster.primaries[number // replicas])
        eventually(lambda: all(map(_is_ok, servers)), "the cluster")
        followers = len(cluster.replicas)
        eventually(lambda: all(_knows(s, primaries, followers) for s in servers), "the roles")
        for primary in cluster.primaries:
            eventually(lambda p=primary: in_step(p) == replicas, "its replicas")  # type: ignore[misc]
        yield cluster


@contextmanager
def cluster_node(
    folder: Path, *settings: str, port: int = 0, program: str | None = None
) -> Generator[PlainServer]:
    """One node; in a folder where one ran before it goes on as what that one was."""
    bus = free_port()
    with plain_server(
        folder,
        *("--cluster-enabled", "yes", "--cluster-port", str(bus)),
        *("--cluster-node-timeout", str(NODE_TIMEOUT_MS)),
        *settings,
        port=port,
        program=program,
    ) as server:
        server.bus_port = bus
        yield server


def in_step(primary: PlainServer) -> int:
    """How many replicas are in step with a primary."""
    info = ask(primary.url, "INFO", "replication")
    return sum("online" in str(value) for name, value in info.items() if name.startswith("slave"))


def _assign(primaries: Sequence[PlainServer]) -> None:
    for number, primary in enumerate(primaries):
        first = SLOTS * number // len(primaries)
        last = SLOTS * (number + 1) // len(primaries) - 1
        primary.ask("CLUSTER", "ADDSLOTSRANGE", first, last)
        # Two that come with the same epoch would have to settle that first.
        primary.ask("CLUSTER", "SET-CONFIG-EPOCH", number + 1)


def _follow(replica: PlainServer, primary: PlainServer) -> None:
    wanted = node_id(primary)
    eventually(lambda: wanted in text(replica.ask("CLUSTER", "NODES")), "the primary's name")
    replica.ask("CLUSTER", "REPLICATE", wanted)


def _knows(server: PlainServer, primaries: int, replicas: int) -> bool:
    nodes = text(server.ask("CLUSTER", "NODES"))
    counts = [nodes.count(role) for role in ("master", "slave", "handshake")]
    return counts == [primaries, replicas, 0]


def _is_ok(server: PlainServer) -> bool:
    return "cluster_state:ok" in text(server.ask("CLUSTER", "INFO"))
