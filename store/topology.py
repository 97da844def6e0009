"""Which node of a Cluster has which slots, as one of its nodes tells."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple, cast

from whence.store.routing import SLOTS
from whence.store.wire import Command, Reply

ASK_TOPOLOGY: Command = ("CLUSTER", "SLOTS")


class Node(NamedTuple):
    """A server by the address under which others find it."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str, *, host: str = "", port: int = 0) -> "Node":
        """Take ``host:port``, also ``[::1]:port``; ``host`` and ``port`` stand in for either.

        Raises:
            ValueError: there is no host, or the port is none.
        """
        name, separator, number = text.rpartition(":")
        if not separator or number.endswith("]"):
            name, number = text, ""
        name = name.removeprefix("[").removesuffix("]") or host
        value = int(number) if number else port
        if not name or not 0 < value <= 65535:  # noqa: PLR2004
            raise ValueError(text)
        return cls(name, value)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Topology:
    """The primary of each slot, and every node that was named.

    Args:
        shards: first slot, last slot, and the nodes, the primary first.
    """

    def __init__(self, shards: Iterable[tuple[int, int, Sequence[Node]]] = ()) -> None:
        self._owners: list[Node | None] = [None] * SLOTS
        nodes: dict[Node, None] = {}
        for first, last, members in shards:
            self._owners[first : last + 1] = [members[0]] * (last + 1 - first)
            nodes.update(dict.fromkeys(members))
        self.nodes = list(nodes)

    def owner(self, slot: int) -> Node | None:
        """The primary of a slot, None if it has none."""
        return self._owners[slot]

    def move(self, slot: int, node: Node) -> None:
        """Another node has the slot now: one of both said so."""
        self._owners[slot] = node

    @property
    def primaries(self) -> list[Node]:
        """Every node that has a slot, in the order of their slots."""
        return [node for node in dict.fromkeys(self._owners) if node is not None]

    @property
    def uncovered(self) -> int:
        """How many slots have no primary."""
        return self._owners.count(None)


def parse_topology(reply: Reply, asked: Node) -> Topology:
    """The reply to ASK_TOPOLOGY; a node that does not know its own name is the one asked."""
    return Topology(
        (int(first), int(last), [_node(entry, asked) for entry in members])
        for first, last, *members in cast("Sequence[Sequence[Reply]]", reply)
    )


def _node(entry: Reply, asked: Node) -> Node:
    host, port = entry[0], entry[1]
    name = host.decode() if host else ""
    return Node(asked.host if name in {"", "?"} else name, int(port))
