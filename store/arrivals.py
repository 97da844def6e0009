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
from whence.store.wire import Call, Command, Reply, ServerError

# Seconds. fakeredis does not wait for an entry, whatever BLOCK says.
_MEMORY_PAUSE = 0.01
# Seconds between two looks at a Cluster; ARCHITECTURE.md has what that costs.
_FIRST_PAUSE = 0.001
_LONGEST_PAUSE = 0.05

# New entries by the key of their stream; a stream without any is left out.
Arrived = dict[bytes, list[object]]


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
    return _parsed(reply)


async def _looked_for(
    call: Call, read: Command, after: Mapping[bytes, str], block_ms: int
) -> Arrived:
    commands: list[Command] = [(*read, "STREAMS", key, entry) for key, entry in after.items()]
    give_up = time.monotonic() + block_ms / 1000
    pause = _FIRST_PAUSE
    while True:
        found: Arrived = {}
        for reply in await call(commands):
            found.update(_parsed(reply))
        if found or time.monotonic() + pause > give_up:
            return found
        await anyio.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)


def _parsed(reply: Reply) -> Arrived:
    if isinstance(reply, ServerError):
        raise reply
    return dict(cast("list[tuple[bytes, list[object]]]", reply or []))
