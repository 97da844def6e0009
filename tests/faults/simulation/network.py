"""The network between the hosts and the server: slow, lossy, and now and then a liar."""

import asyncio
import random
from collections import deque
from collections.abc import Callable
from contextvars import Context, copy_context
from functools import partial
from typing import Any

from msgspec.structs import asdict

from tests.faults.simulation.host import HOST, Host
from tests.faults.simulation.rates import ON_THE_WAY, Rates
from tests.faults.simulation.server import Blocked, Server, Waiting
from whence.store.address import CALL_TIMEOUT, CONNECT_TIMEOUT

# Seconds: how long a packet takes, at least and at most.
FASTEST = 0.0002
SLOWEST = 0.005
# Seconds after which what was held up comes through, when its sender has long given up.
LATE = (5.0, 20.0)
# Seconds until the server notices that a client has gone.
FAREWELL = 0.5
# Seconds between two packets that are hurried.
APART = 0.1
# Of no host: what is under way does not stop with its sender. One for all, for callbacks do not
# run within each other, and none of the network's sets a variable.
NOWHERE = Context()


class _Late:
    """A packet that comes once: at its time, or before if it is hurried."""

    def __init__(self, earliest: float, come: Callable[[], None]) -> None:
        self.earliest = earliest
        self._come = come
        self.is_under_way = True

    def come(self) -> None:
        if self.is_under_way:
            self.is_under_way = False
            self._come()


class Network:
    """Connects hosts to the one server.

    Attributes:
        rates: may be changed at any time.
        quiet_at: seconds of virtual time; by then all that was sent has come, but for what is late,
            and who waits for what will not come has given up.
    """

    def __init__(self, server: Server, chance: random.Random, rates: Rates) -> None:
        self.server = server
        self.chance = chance
        self.rates = rates
        self.faults: dict[str, int] = {}
        self.quiet_at = 0.0
        self._late: list[_Late] = []
        self._links: list[Link] = []

    @property
    def rates(self) -> Rates:
        return self._rates

    @rates.setter
    def rates(self, rates: Rates) -> None:
        self._rates = rates
        self._happening = {name: rate for name, rate in asdict(rates).items() if rate > 0}
        self._on_the_way = [name for name in self._happening if name in ON_THE_WAY]

    def meets(self, fault: str) -> bool:
        """Whether this packet or connection meets the fault."""
        rate = self._happening.get(fault)
        if rate is None or self.chance.random() >= rate:
            return False
        self.faults[fault] = self.faults.get(fault, 0) + 1
        return True

    def befalls(self) -> str | None:
        """The fault that a packet meets on its way, if any."""
        for fault in self._on_the_way:
            if self.meets(fault):
                return fault
        return None

    def not_quiet_until(self, when: float) -> None:
        self.quiet_at = max(self.quiet_at, when)

    def come_late(self, when: float, earliest: float, come: Callable[[], None]) -> None:
        """Let a packet come at a time, and not before another one even if it is hurried."""
        packet = _Late(earliest, come)
        self._late.append(packet)
        asyncio.get_running_loop().call_at(when, packet.come, context=NOWHERE)

    def hurry(self) -> None:
        """Let all that is late come soon, one packet after the other as they were sent."""
        loop = asyncio.get_running_loop()
        when = loop.time()
        for packet in [packet for packet in self._late if packet.is_under_way]:
            when += APART
            at = max(when, packet.earliest)
            loop.call_at(at, packet.come, context=NOWHERE)
            self.not_quiet_until(at)

    def delay(self) -> float:
        if "slow" in self._happening and self.meets("slow"):
            return self.chance.uniform(SLOWEST, 1.0)
        return FASTEST + (SLOWEST - FASTEST) * self.chance.random()

    async def connect(
        self, protocol_factory: Callable[[], asyncio.Protocol]
    ) -> tuple[asyncio.Transport, asyncio.Protocol]:
        await asyncio.sleep(self.delay())
        if self.meets("unanswered"):
            self.not_quiet_until(asyncio.get_running_loop().time() + CONNECT_TIMEOUT)
            await asyncio.sleep(60)
        if self.server.down or self.meets("refused"):
            raise ConnectionRefusedError("the simulated server refuses the connection")
        protocol = protocol_factory()
        link = Link(self, protocol)
        self._links.append(link)
        protocol.connection_made(link)
        return link, protocol

    def cut_all(self) -> None:
        """End every connection, as when the server ends."""
        for link in self._links:
            link.cut()

    def bury(self, host: Host) -> None:
        """The connections of a host that was killed: the server learns of it a little later."""
        for link in self._links:
            if link.host is host:
                link.hang_up()


class Link(asyncio.Transport):
    """One connection: the client's transport, and what the server does with its bytes."""

    def __init__(self, network: Network, protocol: asyncio.Protocol) -> None:
        super().__init__()
        self.host = HOST.get()
        self._network = network
        self._protocol: asyncio.BaseProtocol = protocol
        self._loop = asyncio.get_running_loop()
        self._client = copy_context()
        self._closed = False  # on the client's side
        self._mute = False  # nothing reaches the client any more
        self._gone = False  # on the server's side
        self._arrives = 0.0
        self._answers = 0.0
        # Whatever the order in which callbacks run, bytes keep theirs.
        self._under_way: deque[Callable[[], None]] = deque()
        self._unheard: deque[bytes] = deque()
        self._reader = network.server.reader()
        self._blocked: Blocked | None = None

    # The client's side

    def write(self, data: Any) -> None:
        if not self._closed and not self._mute:
            self._send(bytes(data))

    def _send(self, data: bytes) -> None:
        network = self._network
        arrival = self._arrives = max(self._arrives, self._loop.time() + network.delay())
        match network.befalls():
            case None:
                self._arrive(arrival, self._receive, data)
            case "repeated":
                self._arrive(arrival, self._receive, data)
                again = arrival + network.chance.uniform(0, LATE[1])
                network.come_late(again, arrival, partial(Link.from_nowhere, network, data))
            case "lost_request":
                part = data[: network.chance.randrange(len(data) + 1)]
                self._arrive(arrival, self._lose, part)
            case "lost_reply":
                self._mute = True
                self._arrive(arrival, self._lose, data)
            case "late":
                self._fall_silent()
                self._arrives = arrival + network.chance.uniform(*LATE)
                self._under_way.append(partial(self._receive, data))
                given_up = self._loop.time() + CALL_TIMEOUT
                network.come_late(self._arrives, given_up, self._next_arrival)
            case _:
                self._fall_silent()

    def _fall_silent(self) -> None:
        self._mute = True
        self._network.not_quiet_until(self._loop.time() + CALL_TIMEOUT)

    def _arrive(self, when: float, then: Callable[[bytes], None], data: bytes) -> None:
        self._network.not_quiet_until(when)
        self._under_way.append(partial(then, data))
        self._at(when, self._next_arrival)

    def _next_arrival(self) -> None:
        self._under_way.popleft()()

    @staticmethod
    def from_nowhere(network: Network, data: bytes) -> None:
        """Bytes on a connection whose replies nobody reads."""
        link = Link(network, asyncio.Protocol())
        link._mute = True
        link._receive(data)
        link._leave()

    def _lose(self, data: bytes) -> None:
        self._receive(data)
        self.cut()

    def is_closing(self) -> bool:
        return self._closed

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._loop.call_soon(self._lost, None, context=self._client)
            self.hang_up()

    abort = close

    def _lost(self, error: Exception | None) -> None:
        self._protocol.connection_lost(error)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._protocol

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    # In between

    def _at(self, when: float, callback: Callable[..., object], *args: Any) -> None:
        self._loop.call_at(when, callback, *args, context=NOWHERE)

    def cut(self) -> None:
        """End the connection; the client hears of it."""
        self._leave()
        if not self._closed:
            self._closed = True
            error = ConnectionResetError("the simulated connection was cut")
            self._loop.call_soon(self._lost, error, context=self._client)

    def hang_up(self) -> None:
        """The client has gone; what it has sent still arrives before that is noticed."""
        self._mute = True
        now = self._loop.time()
        noticed = max(self._arrives, now + self._network.chance.uniform(0, FAREWELL))
        self._at(noticed, self._leave)

    # The server's side

    def _receive(self, data: bytes) -> None:
        if self._gone or self._network.server.down:
            return
        self._reader.feed(data)
        self._serve()

    def _serve(self) -> None:
        while self._blocked is None and not self._gone:
            command = self._reader.gets()
            if command is False:
                return
            reply = self._network.server.execute(command)
            if isinstance(reply, Blocked):
                self._block(reply)
            else:
                self._reply(reply)

    def _block(self, blocked: Blocked) -> None:
        self._blocked = blocked
        self._network.server.blocked[id(self)] = Waiting(frozenset(blocked.keys), self._look)
        if blocked.seconds:
            self._at(self._loop.time() + blocked.seconds, self._unblock, blocked)

    def _look(self) -> None:
        """Something was written: is it what was waited for?"""
        blocked = self._blocked
        if blocked is not None:
            reply = self._network.server.execute(blocked.command)
            if not isinstance(reply, Blocked):
                self._end_of(blocked, reply)

    def _unblock(self, blocked: Blocked) -> None:
        if self._blocked is blocked:
            self._end_of(blocked, b"*-1\r\n")

    def _end_of(self, _: Blocked, reply: bytes) -> None:
        self._blocked = None
        self._network.server.blocked.pop(id(self), None)
        self._reply(reply)
        self._serve()

    def _reply(self, data: bytes) -> None:
        if not self._mute:
            network = self._network
            self._answers = max(self._answers, self._loop.time() + network.delay())
            self._unheard.append(data)
            self._loop.call_at(self._answers, self._hear, context=self._client)

    def _hear(self) -> None:
        data = self._unheard.popleft()
        if not self._closed:
            assert isinstance(self._protocol, asyncio.Protocol)
            self._protocol.data_received(data)

    def _leave(self) -> None:
        self._gone = True
        self._blocked = None
        self._network.server.blocked.pop(id(self), None)
