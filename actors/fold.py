"""How stored events become a state: the one place where all readers of states agree."""

from collections.abc import Iterable

from whence.actors.model import AnyAggregate
from whence.store.recorded import Recorded
from whence.store.registry import EventRegistry


def fold(events: EventRegistry, state: AnyAggregate, records: Iterable[Recorded]) -> AnyAggregate:
    """The state after these events.

    Raises:
        CorruptStore: a stored event cannot be read.
    """
    decode = events.decode
    for record in records:
        state = state.apply(decode(record))
    return state
