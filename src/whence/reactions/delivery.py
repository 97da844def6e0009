"""Commands on their way from a reaction to the runtime, each with an id of its own."""

import logging
import time
from dataclasses import dataclass
from typing import NamedTuple

from whence.actors.request import CommandRequest
from whence.actors.runtime import Runtime
from whence.reactions.then import Send
from whence.store.errors import (
    CommandIdReused,
    Conflict,
    DeadlineExceeded,
    LeaseLost,
    OutcomeUnknown,
    Overloaded,
    Rejected,
    ServerRefused,
    StoreMismatch,
    StoreUnavailable,
)
from whence.store.ids import StreamId, derived_id
from whence.store.metadata import Metadata
from whence.store.recorded import Recorded

log = logging.getLogger("whence.reactions")

# Of the moment and not of an event: what came to nothing because of one is tried again.
TROUBLE = (
    Overloaded,
    Conflict,
    DeadlineExceeded,
    OutcomeUnknown,
    StoreUnavailable,
    ServerRefused,
    StoreMismatch,
    LeaseLost,
)

# Microseconds by which the clocks of two servers may differ.
_CLOCKS_DIFFER_US = 3_600_000_000


class Outgoing(NamedTuple):
    """A command with the id under which it takes effect once.

    ``since_us``: it was sent at this moment for the first time, or later (microseconds since 1970).
    """

    send: Send
    command_id: str
    metadata: Metadata
    since_us: int


@dataclass(slots=True)
class Counts:
    """What has become of the commands of a reaction in this process.

    ``repeated`` had taken effect before, in an earlier attempt; ``rejected`` were refused by the
    domain, which is an answer as well.
    """

    sent: int = 0
    repeated: int = 0
    rejected: int = 0


class Delivery:
    """Sends the commands of one reaction.

    Args:
        reaction: its name.
    """

    def __init__(self, runtime: Runtime, reaction: str) -> None:
        self._runtime = runtime
        self._reaction = reaction
        self.counts = Counts()

    async def send(self, outgoing: Outgoing) -> None:
        """Send a command and wait for its answer; the answer may be that the domain says no.

        Raises:
            one of TROUBLE: no answer for now, try again.
            Others: whatever else the command raises, and CorruptStore.
        """
        send = outgoing.send
        if await self._took_effect_long_ago(outgoing):
            self.counts.repeated += 1
            return
        request = CommandRequest(
            send.kind,
            send.command,
            send.id,
            send.arguments,
            command_id=outgoing.command_id,
            metadata=outgoing.metadata,
        )
        try:
            receipt = await self._runtime.execute(request)
        except Rejected as refusal:
            self.counts.rejected += 1
            cause = outgoing.metadata.causation_id
            log.info("reaction %s: %s, after %s, %s", self._reaction, send, cause, refusal)
        except CommandIdReused:
            # A handler that was run again has decided otherwise; what it decided first stands.
            self.counts.repeated += 1
            log.warning(
                "reaction %s asks for another %s the second time; the first one stands",
                self._reaction,
                send,
            )
        else:
            self.counts.sent += not receipt.repeated
            self.counts.repeated += receipt.repeated

    async def _took_effect_long_ago(self, outgoing: Outgoing) -> bool:
        """Whether the aggregate has events of this command, which the runtime may have forgotten.

        It remembers command ids for a day. Who comes back to an event after half of that time looks
        at the aggregate itself, so that a repetition does nothing however late it comes.
        """
        now_us = time.time_ns() // 1_000
        if now_us - outgoing.since_us < self._runtime.remember_for / 2 * 1_000_000:
            return False
        stream = StreamId(outgoing.send.kind.name, outgoing.send.id)
        async for record in self._runtime.store.read_backwards(stream):
            if record.command_id == outgoing.command_id:
                return True
            if record.occurred_at_us < outgoing.since_us - _CLOCKS_DIFFER_US:
                return False
        return False


class Addresser:
    """Gives the commands that follow from one event their ids and metadata.

    An id is made of the event, the reaction, the command and its aggregate, and says which of
    several such: so another order of the commands does not change it.

    Args:
        log: the uuid of the store.
    """

    def __init__(self, reaction: str, record: Recorded, log: str) -> None:
        known = record.metadata
        self.cause = f"{record.stream}@{record.version}"
        self.metadata = Metadata(
            who=f"reaction {reaction}",
            correlation_id=known.correlation_id or self.cause,
            causation_id=self.cause,
            trace=known.trace,
        )
        self._prefix = f"{log}/{reaction}/{self.cause}"
        self._since_us = record.occurred_at_us
        self._taken: dict[str, int] = {}

    def outgoing(self, send: Send) -> Outgoing:
        return Outgoing(send, self.command_id(send), self.metadata, self._since_us)

    def command_id(self, send: Send, timer: str = "") -> str:
        what = f"{self._prefix}/{timer}/{send.kind.name}/{send.id}/{send.command.name}"
        number = self._taken.get(what, 0)
        self._taken[what] = number + 1
        return derived_id(f"{what}/{number}")
