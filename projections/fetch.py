"""The events behind the pointers of several partitions: one round trip, errors apart."""

import itertools
from collections.abc import Mapping, Sequence

from whence.store.errors import CorruptStore
from whence.store.eventstore import EventStore
from whence.store.feed import Pointer
from whence.store.recorded import Recorded


async def fetch_all(
    store: EventStore, pointers: Mapping[int, Sequence[Pointer]]
) -> dict[int, list[Recorded] | CorruptStore]:
    """The events of each partition, or what is wrong with one of them.

    Raises:
        StoreUnavailable, ServerRefused: the server cannot be read.
    """
    try:
        records = iter(await store.fetch(list(itertools.chain.from_iterable(pointers.values()))))
    except CorruptStore:
        return {number: await _fetch(store, found) for number, found in pointers.items()}
    return {number: list(itertools.islice(records, len(p))) for number, p in pointers.items()}


async def _fetch(store: EventStore, pointers: Sequence[Pointer]) -> list[Recorded] | CorruptStore:
    try:
        return await store.fetch(pointers)
    except CorruptStore as error:
        return error
