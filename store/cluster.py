"""A Cluster as one connection: each command goes to the node that has its slot.

The client library's own cluster client is not used: it repeats commands by itself, and took
throughput down to a tenth while slots moved. Here a command is sent again only where a node said
that it did not execute it (MOVED, ASK), or where no connection could be made.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from whence.store.errors import ServerRefused, StoreMismatch, StoreUnavailable
from whence.store.routing import slot_of
from whence.store.topology import ASK_TOPOLOGY, Node, Topology, parse_topology
from whence.store.wire import CLOSED, Command, ConnectionLost, Reply, ServerError, Wire, seen

# How often a command is sent to where it is pointed; then it is for the caller to wait.
MAX_ROUNDS = 6
# Seconds between two looks at the topology; between them MOVED tells what is needed.
LOOK_EVERY = 0.1

# Opens a connection to a node on demand.
Connect = Callable[[Node], Wire]


class _Unit(NamedTuple):
    """The commands ``start`` to ``end``, not included, which go to one node together.

    The first one has the slot; those that follow have no key (WAIT belongs to its append).
    ``ask``: the node to which this one attempt was pointed.
    """

    slot: int | None
    start: int
    end: int
    ask: Node | None = None


class ClusterWire:
    """A Wire to all primaries of a Cluster. Commands with one slot are answered in their order.

    A command without a key goes where the one before it goes; if it is the first, to any node.
    A call that reached only some of its nodes raises ConnectionLost, for it was partly executed.

    Args:
        seeds: nodes that are asked for the others.
        where: the Cluster, as an error message may name it.
        connect: a connection for commands.
        connect_to_ask: one that asks for the topology, and for nothing else.
    """

    knows_shebang = True

    def __init__(
        self, seeds: Sequence[Node], where: str, connect: Connect, connect_to_ask: Connect
    ) -> None:
        self._seeds = seeds
        self._where = where
        self._connect = connect
        self._connect_to_ask = connect_to_ask
        self._wires: dict[Node, Wire] = {}
        self._topology: Topology | None = None
        self._doubtful = True
        self._look_at = 0.0
        self._looking: asyncio.Task[Topology] | None = None
        self._informed: Node | None = None  # MOVED named it, so it knows of the move
        self._turn = 0
        self._closed = False

    async def call(self, commands: Sequence[Command]) -> list[Reply]:
        replies: list[Reply] = [None] * len(commands)
        units = left = _units(commands)
        failed: StoreUnavailable | None = None
        for _ in range(MAX_ROUNDS):
            try:
                left, failure = await self._round(commands, left, replies)
            except StoreUnavailable as error:
                failure = error
            # Nothing was sent there, so it may go again: once, for the topology may tell better.
            if failure is not None and (failed is not None or self._closed):
                if len(left) < len(units):
                    raise ConnectionLost(str(failure)) from failure
                raise failure
            if not left:
                return replies
            failed = failed or failure
        for unit in left:
            replies[unit.start : unit.end] = [_astray(self._where)] * (unit.end - unit.start)
        return replies

    async def each(self, commands: Sequence[Command]) -> dict[str, list[Reply]]:
        topology = await self._current()
        nodes = topology.primaries
        try:
            answers = await asyncio.gather(*[self._wire(node).call(commands) for node in nodes])
        except (ConnectionLost, StoreUnavailable):
            self._doubtful = True
            raise
        return {str(node): answer for node, answer in zip(nodes, answers, strict=True)}

    async def _round(
        self, commands: Sequence[Command], units: Sequence[_Unit], replies: list[Reply]
    ) -> tuple[list[_Unit], StoreUnavailable | None]:
        """Send units once and take their replies.

        Returns:
            The units that nobody executed, and why some of them could not be sent, or None.
        """
        topology = await self._current()
        parcels: dict[Node, list[_Unit]] = {}
        for unit in units:
            parcels.setdefault(unit.ask or self._owner(topology, unit.slot), []).append(unit)
        sendings = [self._send(node, commands, parcel) for node, parcel in parcels.items()]
        if len(sendings) == 1:  # as an append does, whose time counts
            answers: list[list[Reply] | StoreUnavailable] = [await sendings[0]]
        else:
            answers = _raise_first(await asyncio.gather(*sendings, return_exceptions=True))
        left: list[_Unit] = []
        failure: StoreUnavailable | None = None
        for (node, parcel), answer in zip(parcels.items(), answers, strict=True):
            if isinstance(answer, StoreUnavailable):
                failure = answer
                left += [unit._replace(ask=None) for unit in parcel]
            else:
                left += self._take(node, parcel, answer, replies)
        return left, failure

    async def _send(
        self, node: Node, commands: Sequence[Command], parcel: Sequence[_Unit]
    ) -> list[Reply] | StoreUnavailable:
        message: list[Command] = []
        for unit in parcel:
            if unit.ask is not None:
                message.append(("ASKING",))
            message += commands[unit.start : unit.end]
        try:
            return await self._wire(node).call(message)
        except ConnectionLost:
            self._doubtful = True
            raise
        except StoreUnavailable as error:
            self._doubtful = True
            return error

    def _take(
        self, node: Node, parcel: Sequence[_Unit], answer: list[Reply], replies: list[Reply]
    ) -> list[_Unit]:
        """Put the replies in their places; returns the units that the node sent elsewhere."""
        elsewhere: list[_Unit] = []
        at = 0
        for unit in parcel:
            at += unit.ask is not None
            end = at + unit.end - unit.start
            first = answer[at]
            redirected = self._redirected(unit, first, node) if _is_error(first) else None
            if redirected is None:
                replies[unit.start : unit.end] = answer[at:end]
            else:
                elsewhere.append(redirected)
            at = end
        return elsewhere

    def _redirected(self, unit: _Unit, error: ServerError, by: Node) -> _Unit | None:
        word, *details = str(error).split(" ")
        if word == "CLUSTERDOWN":
            self._doubtful = True
        if word not in {"MOVED", "ASK"}:
            return None
        slot, address, *_ = details
        node = Node.parse(address, host=by.host)
        if word == "ASK":
            return unit._replace(ask=node)
        if self._topology is not None:
            self._topology.move(int(slot), node)
        self._informed = node
        self._doubtful = True
        return unit._replace(ask=None)

    def _owner(self, topology: Topology, slot: int | None) -> Node:
        if slot is None:
            return topology.primaries[0]
        node = topology.owner(slot)
        if node is None:
            self._doubtful = True
            raise StoreUnavailable(self._where, f"slot {slot} has no primary")
        return node

    def _wire(self, node: Node) -> Wire:
        wire = self._wires.get(node)
        if wire is None:
            if self._closed:
                raise StoreUnavailable(self._where, CLOSED)
            wire = self._wires[node] = self._connect(node)
        return wire

    # The topology

    async def _current(self) -> Topology:
        """What is known of the topology, asked for anew if it is in doubt; one asks for all."""
        known = self._topology
        if known is not None and not (self._doubtful and time.monotonic() >= self._look_at):
            return known
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())
            self._looking.add_done_callback(seen)
        return await asyncio.shield(self._looking)

    async def _look(self) -> Topology:
        if self._closed:
            raise StoreUnavailable(self._where, CLOSED)
        # A node that is cut off tells what was: the next look asks another one first.
        self._doubtful = False
        self._turn += 1
        try:
            self._topology = await self._first_answer()
        except StoreUnavailable:
            if self._topology is None:
                raise
            self._doubtful = True
        finally:
            self._look_at = time.monotonic() + LOOK_EVERY
        return self._topology

    async def _first_answer(self) -> Topology:
        failure = StoreUnavailable(self._where, "no node was named")
        for node in self._candidates():
            if self._closed:
                break
            try:
                return await self._ask(node)
            except StoreUnavailable as error:
                failure = error
        raise failure

    def _candidates(self) -> list[Node]:
        known = [*(self._topology.nodes if self._topology else ()), *self._seeds]
        turn = self._turn % len(known)
        first = [] if self._informed is None else [self._informed]
        self._informed = None
        return list(dict.fromkeys([*first, *known[turn:], *known[:turn]]))

    async def _ask(self, node: Node) -> Topology:
        wire = self._connect_to_ask(node)
        try:
            (reply,) = await wire.call([ASK_TOPOLOGY])
        except ConnectionLost as error:
            raise StoreUnavailable(self._where, f"{node}: {error}") from error
        finally:
            await wire.close()
        if isinstance(reply, ServerError):
            raise self._refusal(str(reply))
        topology = parse_topology(reply, node)
        if not topology.nodes:
            raise StoreUnavailable(self._where, f"{node} knows of no slot that has a primary")
        return topology

    def _refusal(self, answer: str) -> Exception:
        if "cluster support disabled" in answer:
            return StoreMismatch(
                f"the server at {self._where} is no Cluster: use a URL without +cluster"
            )
        if answer.startswith("LOADING"):
            return StoreUnavailable(self._where, "it is loading its data")
        return ServerRefused("CLUSTER SLOTS", answer)

    async def close(self) -> None:
        self._closed = True
        for wire in self._wires.values():
            await wire.close()
        if self._looking is not None:
            await asyncio.wait([self._looking])  # it is no longer than one question


def _units(commands: Sequence[Command]) -> list[_Unit]:
    units: list[_Unit] = []
    for place, command in enumerate(commands):
        slot = slot_of(command)
        if slot is None and units:
            units[-1] = units[-1]._replace(end=place + 1)
        else:
            units.append(_Unit(slot, place, place + 1))
    return units


def _is_error(reply: Reply) -> bool:
    return isinstance(reply, ServerError)


def _raise_first(
    answers: Sequence[list[Reply] | StoreUnavailable | BaseException],
) -> list[list[Reply] | StoreUnavailable]:
    """The answers, once all have come. A lost connection comes first: it leaves most in doubt."""
    errors = [
        answer
        for answer in answers
        if isinstance(answer, BaseException) and not isinstance(answer, StoreUnavailable)
    ]
    for error in sorted(errors, key=lambda error: not isinstance(error, ConnectionLost)):
        raise error
    return [a for a in answers if isinstance(a, (list, StoreUnavailable))]


def _astray(where: str) -> ServerError:
    return ServerError(f"TRYAGAIN {where} sent the command from node to node {MAX_ROUNDS} times")
