"""A primary that sentinels watch, and its successor after a failover, as one connection."""

import asyncio
import time
from collections.abc import Callable, Sequence

from whence.store.errors import ServerRefused, StoreUnavailable
from whence.store.topology import Node
from whence.store.wire import (
    CLOSED,
    Call,
    Command,
    ConnectionLost,
    Guard,
    Reply,
    ServerError,
    Wire,
    seen,
)

# Seconds between two looks while commands are sent: a primary that was cut off from its sentinels
# goes on to take writes that its successor will never have.
LOOK_EVERY = 1.0


class SentinelWire:
    """A Wire to whatever server the sentinels name as primary.

    When they name another one, the connection to the former is dropped: what was under way there
    is lost or not, as after any lost connection.

    Args:
        sentinels: asked in turn.
        service: the name under which they know the primary.
        where: the service, as an error message may name it.
        connect: a connection for commands; its guard checks what it finds.
        connect_to_ask: a connection to a sentinel.
    """

    knows_shebang = True

    def __init__(
        self,
        sentinels: Sequence[Node],
        service: str,
        where: str,
        connect: Callable[[Node], Wire],
        connect_to_ask: Callable[[Node], Wire],
    ) -> None:
        self._sentinels = list(sentinels)
        self._service = service
        self._where = where
        self._connect = connect
        self._connect_to_ask = connect_to_ask
        self._node: Node | None = None
        self._wire: Wire | None = None
        self._look_at = 0.0
        self._looking: asyncio.Task[Wire] | None = None
        self._closed = False

    async def call(self, commands: Sequence[Command]) -> list[Reply]:
        wire = self._wire
        if wire is None:
            wire = await asyncio.shield(self._look())
        elif time.monotonic() >= self._look_at:
            self._look()  # beside the call: most looks find what they found before
        try:
            return await wire.call(commands)
        except ConnectionLost:
            await self._forget(wire)
            raise
        except StoreUnavailable:
            # Nothing was sent, so it may go once more: there may be a successor.
            await self._forget(wire)
            return await (await asyncio.shield(self._look())).call(commands)

    async def each(self, commands: Sequence[Command]) -> dict[str, list[Reply]]:
        replies = await self.call(commands)
        return {str(self._node or self._where): replies}

    def _look(self) -> "asyncio.Task[Wire]":
        """Ask the sentinels; one look serves all who come while it is under way."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._find())
            self._looking.add_done_callback(seen)
        return self._looking

    async def _find(self) -> Wire:
        if self._closed:
            raise StoreUnavailable(self._where, CLOSED)
        self._look_at = time.monotonic() + LOOK_EVERY
        node = await self._first_answer()
        if self._closed:
            raise StoreUnavailable(self._where, CLOSED)
        if self._wire is None or node != self._node:
            if self._wire is not None:
                await self._wire.close()
            self._node, self._wire = node, self._connect(node)
        return self._wire

    async def _forget(self, wire: Wire) -> None:
        if self._wire is wire:
            self._wire = None
            await wire.close()

    async def _first_answer(self) -> Node:
        failure = StoreUnavailable(self._where, "no sentinel was named")
        for sentinel in list(self._sentinels):
            if self._closed:
                break
            try:
                node = await self._ask(sentinel)
            except StoreUnavailable as error:
                failure = error
                # The others first next time.
                self._sentinels.remove(sentinel)
                self._sentinels.append(sentinel)
            else:
                return node
        raise failure

    async def _ask(self, sentinel: Node) -> Node:
        wire = self._connect_to_ask(sentinel)
        try:
            (reply,) = await wire.call([("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._service)])
        except ConnectionLost as error:
            raise StoreUnavailable(self._where, f"sentinel {sentinel}: {error}") from error
        finally:
            await wire.close()
        if isinstance(reply, ServerError):
            raise ServerRefused(f"SENTINEL at {sentinel}", str(reply))
        if reply is None:
            raise StoreUnavailable(
                self._where, f"sentinel {sentinel} knows no service {self._service!r}"
            )
        host, port = reply
        return Node(host.decode(), int(port))

    async def close(self) -> None:
        self._closed = True
        if self._looking is not None:
            await asyncio.wait([self._looking])  # it is no longer than one question
        if self._wire is not None:
            await self._wire.close()


def primary_only(guard: Guard | None) -> Guard:
    """``guard``, and before it that the server is a primary: a sentinel may be behind."""

    async def check(where: str, call: Call) -> None:
        (role,) = await call([("ROLE",)])
        # A user who may not ask has to believe the sentinels.
        if not isinstance(role, ServerError) and role[0] != b"master":
            raise StoreUnavailable(where, "it is a replica, and not yet, or no longer, the primary")
        if guard is not None:
            await guard(where, call)

    return check
