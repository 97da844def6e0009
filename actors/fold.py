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
    decode_all = events.decode_all
    for record in records:
        for event in decode_all(record):
            state = state.apply(event)
    return state
