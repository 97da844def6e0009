"""Waiting for what is new in several streams.

One server waits for all of them in one blocking command. In a Cluster the feeds lie in different
slots, which no command may join, and a blocked connection serves one slot alone: there each stream
is looked at, all in one round trip, after pauses that grow while nothing comes.
"""

import time
from collections.abc import Mapping
from typing import cast

import anyio

from whence.store.address import Address
from whence.store.errors import CorruptStore
from whence.store.eventstore import EventStore
from whence.store.feed import Pointer, parse_pointers
from whence.store.ids import entry_id
from whence.store.wire import Call, Command, Reply, ServerError, refusal

# Seconds. fakeredis does not wait for an entry, whatever BLOCK says.
_MEMORY_PAUSE = 0.01
# Seconds between two looks at a Cluster; ARCHITECTURE.md has what that costs.
_FIRST_PAUSE = 0.001
_LONGEST_PAUSE = 0.05

# New entries by the key of their stream; a stream without any is left out.
Arrived = dict[bytes, list[object]]


async def new_pointers(
    store: EventStore, call: Call, after: Mapping[int, int], count: int, block_ms: int
) -> dict[int, list[Pointer] | CorruptStore]:
    """What comes in feeds behind these positions, by partition; empty when nothing came in time.

    Args:
        count: at most so many of each.

    Raises:
        ServerRefused: the server said no.
        Others as ``call``.
    """
    feeds = {store.keys.feed(number).encode(): number for number in after}
    places = {feed: entry_id(after[number]) for feed, number in feeds.items()}
    try:
        arrived = await arrivals(store.address, call, ("XREAD", "COUNT", count), places, block_ms)
    except ServerError as error:
        raise refusal(store.address.shown, "XREAD of the feeds", error) from error
    return {feeds[feed]: parsed(entries) for feed, entries in arrived.items()}


def parsed(entries: list[object]) -> list[Pointer] | CorruptStore:
    """The pointers among new entries of a feed, or what is wrong with one of them."""
    try:
        return parse_pointers(entries)
    except CorruptStore as error:
        return error


async def arrivals(
    address: Address, call: Call, read: Command, after: Mapping[bytes, str], block_ms: int
) -> Arrived:
    """The entries of streams that come after an id; empty when none came in time.

    Args:
        call: how commands are sent.
        read: XREAD or XREADGROUP, up to its option STREAMS, without BLOCK.
        after: the id to read after, by the key of each stream.
        block_ms: how long to wait for an entry; 0 takes what is there.

    Raises:
        ServerError: the server's answer for one of the streams; the others' entries are dropped.
    """
    if address.spread:
        return await _looked_for(call, read, after, block_ms)
    blocking: Command = ("BLOCK", block_ms) if block_ms else ()
    (reply,) = await call([(*read, *blocking, "STREAMS", *after.keys(), *after.values())])
    if block_ms and not reply and address.in_memory:
        await anyio.sleep(min(_MEMORY_PAUSE, block_ms / 1000))
    return _entries_of(reply)


async def _looked_for(
    call: Call, read: Command, after: Mapping[bytes, str], block_ms: int
) -> Arrived:
    commands: list[Command] = [(*read, "STREAMS", key, entry) for key, entry in after.items()]
    give_up = time.monotonic() + block_ms / 1000
    pause = _FIRST_PAUSE
    while True:
        found: Arrived = {}
        for reply in await call(commands):
            found.update(_entries_of(reply))
        if found or time.monotonic() + pause > give_up:
            return found
        await anyio.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)


def _entries_of(reply: Reply) -> Arrived:
    if isinstance(reply, ServerError):
        raise reply
    return dict(cast("list[tuple[bytes, list[object]]]", reply or []))
