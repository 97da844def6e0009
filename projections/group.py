"""The consumer group of a projection: how new pointers arrive."""

from collections.abc import Sequence

from whence.projections.lease import Lease
from whence.store.address import CALL_TIMEOUT
from whence.store.arrivals import arrivals
from whence.store.errors import CorruptStore, WhenceError
from whence.store.eventstore import EventStore
from whence.store.feed import Pointer, parse_piece
from whence.store.ids import entry_id
from whence.store.wire import ServerError, refusal

# One name for all workers: the lease says who reads, and a name per worker would stay for ever.
_CONSUMER = "worker"


class Group:
    """Reads the feeds as the group that has the projection's name, on a connection of its own.

    It reads without a pending list: where a view stands is in its checkpoint and nowhere else, so
    the group is set back to it whenever it may stand elsewhere.

    Args:
        block_ms: how long ``read`` waits for an event.

    Every method raises ConnectionLost, StoreUnavailable or ServerRefused when it has no answer.
    """

    def __init__(self, store: EventStore, projection: str, block_ms: int) -> None:
        self._keys = store.keys
        self._projection = projection
        self._block_ms = block_ms
        self._address = store.address
        self._wire = store.address.wire(block_ms / 1000 + CALL_TIMEOUT)

    async def set_back(self, leases: Sequence[Lease]) -> dict[int, WhenceError]:
        """Let the next ``read`` begin after each lease's position; refusals by partition."""
        commands: list[tuple[str, ...]] = []
        for lease in leases:
            feed, after = self._keys.feed(lease.partition), entry_id(lease.position)
            # The first is refused where the group exists, and makes it where not.
            commands.append(("XGROUP", "CREATE", feed, self._projection, after, "MKSTREAM"))
            commands.append(("XGROUP", "SETID", feed, self._projection, after))
        replies = await self._wire.call(commands) if commands else []
        return {
            lease.partition: self._refusal(f"XGROUP on {commands[2 * i][2]}", reply)
            for i, (lease, reply) in enumerate(zip(leases, replies[1::2], strict=True))
            if isinstance(reply, ServerError)
        }

    async def read(
        self, partitions: Sequence[int], count: int, *, wait: bool = True
    ) -> dict[int, Sequence[Pointer] | CorruptStore]:
        """At most ``count`` new pointers of each partition; empty when none came in time.

        Unless it is to ``wait``, it takes what is there.
        """
        feeds = {self._keys.feed(number).encode(): number for number in partitions}
        head = ("XREADGROUP", "GROUP", self._projection, _CONSUMER, "COUNT", count, "NOACK")
        after = dict.fromkeys(feeds, ">")
        block_ms = self._block_ms if wait else 0
        try:
            arrived = await arrivals(self._address, self._wire.call, head, after, block_ms)
        except ServerError as error:
            raise self._refusal(f"XREADGROUP of {self._projection}", error) from error
        return {feeds[feed]: _parsed(entries) for feed, entries in arrived.items()}

    async def close(self) -> None:
        await self._wire.close()

    def _refusal(self, what: str, reply: ServerError) -> WhenceError:
        return refusal(self._address.shown, what, reply)


def _parsed(entries: list[object]) -> Sequence[Pointer] | CorruptStore:
    try:
        return parse_piece(entries)
    except CorruptStore as error:
        return error
