"""One event and what a reaction does about it."""

import anyio

from whence.projections.fetch import Damaged, Fetched
from whence.projections.lease import Lease
from whence.reactions.delivery import Addresser, Delivery
from whence.reactions.reaction import Reaction
from whence.reactions.then import CancelTimer, Intent, Send
from whence.reactions.timer import Timer, TimerId
from whence.store.errors import LeaseLost
from whence.store.recorded import Recorded

# What becomes of timers: None cancels one.
Timers = dict[TimerId, Timer | None]


class Reactor:
    """What one reaction does about an event.

    Args:
        log: the uuid of the store.
        beside: how many aggregates' events may be worked on at a time.
    """

    def __init__(self, reaction: Reaction, delivery: Delivery, log: str, beside: int) -> None:
        self.reaction = reaction
        self._delivery = delivery
        self._log = log
        self.limit = anyio.Semaphore(beside)

    def concerns(self, event: Fetched) -> bool:
        """Whether ``react`` has anything to do with it; damage hides whether it has."""
        return isinstance(event, Damaged) or self.reaction.concerns(event)

    async def react(self, lease: Lease, event: Fetched) -> Timers:
        """Run the handlers, and send what they ask for until all of it has answers.

        Raises:
            one of TROUBLE: no answer for now; the event has to come again.
            Others: whatever the handlers and the commands raise, and CorruptStore.
        """
        if isinstance(event, Damaged):
            raise event.error
        check_held(self.reaction.name, lease)
        timers: Timers = {}
        addresser = Addresser(self.reaction.name, event, self._log)
        for intent in await self.reaction.handle(event, self._log):
            if isinstance(intent, Send):
                check_held(self.reaction.name, lease)
                await self._delivery.send(addresser.outgoing(intent))
            else:
                timers[TimerId(event.stream, intent.name)] = _timer(intent, event, addresser)
        return timers


def check_held(reaction: str, lease: Lease) -> None:
    """Stop a worker that was paused: what it would send is another one's to send. LeaseLost."""
    if not lease.active:
        raise LeaseLost(reaction, lease.partition, "reaction")


def _timer(intent: Intent, event: Recorded, addresser: Addresser) -> Timer | None:
    assert not isinstance(intent, Send), "those are sent"
    if isinstance(intent, CancelTimer):
        return None
    return Timer.of(
        intent,
        command_id=addresser.command_id(intent.send, intent.name),
        cause=addresser.cause,
        correlation_id=addresser.metadata.correlation_id,
        trace=addresser.metadata.trace,
    )
