"""Views of parcels as they are stored, and the events that they come from."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import anyio

from tests.projections.domain import (
    Delivered,
    Sent,
    Weighed,
    counts,
    parcel,
    record,
    record_many,
    view_of,
)
from whence.projections.projection import Projection
from whence.store.eventstore import EventStore
from whence.store.ids import StreamId

EVENTS = 258


async def some_history(store: EventStore) -> None:
    streams = [parcel(n) for n in range(200)]
    await record_many(store, streams[:120], Sent("Riga", 10))
    await record_many(store, streams[120:], Sent("Oslo", 20))
    for stream in streams[::7]:
        await record(store, stream, Weighed(11), Delivered())


async def events_in(store: EventStore, projection: Projection[Any] = counts) -> int:
    return sum(row.events for row in (await view_of(store, projection)).values())


async def keys_of(store: EventStore, name: str) -> set[bytes]:
    """The keys of the partitions that a generation has."""
    replies = await store.replies_of_each(("KEYS", f"{{{store.keys.namespace}:*:{name}"))
    return {key for (keys,) in replies.values() for key in keys}


async def raw(store: EventStore, name: str) -> dict[bytes, bytes]:
    """A view as it is stored."""
    numbers = range(store.keys.partitions)
    replies = await store.ask_many([("HGETALL", store.keys.view(n, name)) for n in numbers])
    return {k: v for flat in replies for k, v in zip(flat[::2], flat[1::2], strict=True)}


@asynccontextmanager
async def writing(store: EventStore) -> AsyncGenerator[None]:
    """Somebody who weighs parcels all the time."""

    async def write() -> None:
        n = 0
        while True:
            await record(store, parcel(n % 50), Weighed(n))
            n += 1

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(write)
        yield
        tasks.cancel_scope.cancel()


def all_owned(found: list[Any]) -> bool:
    return all(one.owner and not one.owner.startswith(("switch", "rebuild")) for one in found)


async def damage(store: EventStore, stream: StreamId, versions: set[int]) -> None:
    """Change the bytes of these events, as a bad disk would."""
    key = store.keys.stream(stream)
    entries = await store.ask("XRANGE", key, "-", "+")
    await store.ask("DEL", key)
    for version, (entry_id, fields) in enumerate(entries, 1):
        changed = list(fields)
        if version in versions:
            at = changed.index(b"d") + 1
            changed[at] = changed[at].replace(b"grams", b"grums")
        await store.ask("XADD", key, entry_id, *changed)
