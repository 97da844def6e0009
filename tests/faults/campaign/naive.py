"""What a team would otherwise write, under the same faults: how many events it loses or doubles."""

import asyncio
import itertools
import os
import random
import shutil
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, cast

from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from redis.exceptions import RedisError, WatchError

from tests.faults.campaign.fault import Fault, Scale, Seen, skipped
from tests.faults.campaign.servers import Killable, valkey9
from tests.faults.campaign.syncs import (
    NO_COMPILER,
    cut_copy,
    log_file,
    synced_by,
    syncing,
    syncs_of,
)
from tests.faults.proxy import proxy_to

COMMANDS = 400
LOSS = 0.05
EVERYSEC_FOR = 5.0  # seconds
POWER_LOSSES = 5
Append = Callable[["AsyncRedis", str, str], Awaitable[None]]


async def watch_and_multi(client: "AsyncRedis", stream: str, command: str) -> None:
    """Optimistic locking by the book; a conflict or an error is tried again, as one would."""
    while True:
        async with client.pipeline() as opened:
            pipeline: Any = opened
            try:
                await pipeline.watch(stream)
                pipeline.multi()
                pipeline.xadd(stream, {"c": command})
                await pipeline.execute()
            except (WatchError, RedisError, OSError):
                continue
            return


async def plain_xadd(client: "AsyncRedis", stream: str, command: str) -> None:
    """XADD through redis-py as it comes, with its ten retries."""
    await client.xadd(stream, {"c": command})


async def _doubled(scale: Scale, append: Append) -> tuple[int, int]:
    """How many commands were acknowledged, and how many of those are stored more than once."""
    chance = random.Random(scale.seed)
    count = scale.of(COMMANDS, 50)
    server = await asyncio.to_thread(valkey9, scale.folder / append.__name__)
    try:
        async with proxy_to(server.url) as proxy:
            proxy.lose_reply = lambda chunk: b"-" in chunk and chance.random() < LOSS
            port = int(proxy.url.rpartition(":")[2])
            client = AsyncRedis(host="127.0.0.1", port=port, protocol=2)
            told: list[str] = []
            for number in range(count):
                try:
                    await append(client, f"order:{number % 20}", f"n{number}")
                except (RedisError, OSError):
                    continue
                told.append(f"n{number}")
            await client.aclose()
        stored = await asyncio.to_thread(_stored, server.url)
        return len(told), sum(stored[command] > 1 for command in told)
    finally:
        await asyncio.to_thread(server.stop)


def _stored(url: str) -> Counter[str]:
    with Redis.from_url(url, protocol=2) as client:  # pyright: ignore[reportUnknownMemberType]
        found: Any = client
        return Counter(
            fields[b"c"].decode()
            for key in found.keys("order:*")
            for _, fields in found.xrange(key)
        )


def _lost_replies(append: Append) -> Callable[[Scale], Seen]:
    def run(scale: Scale) -> Seen:
        told, doubled = asyncio.run(_doubled(scale, append))
        what = f"of {told:,} acknowledged commands {doubled:,} are stored twice or more"
        return Seen(told, what, harmed=doubled)

    return run


# everysec


def everysec(scale: Scale) -> Seen:
    """What was acknowledged after the last sync that a power loss has left completed."""
    data, notes = scale.folder / "data", scale.folder / "syncs"
    with syncing(scale.folder, notes) as built:
        if not built:
            return skipped(NO_COMPILER)
        told = _appended(data)
    syncs = syncs_of(log_file(data), notes)
    chance = random.Random(scale.seed)
    moments = [chance.randint(told[0], told[-1]) for _ in range(POWER_LOSSES)]
    acknowledged = lost = 0
    for moment in moments:
        by_then = sum(at <= moment for at in told)
        copy = cut_copy(data, synced_by(moment, syncs), scale.folder / "copy")
        acknowledged += by_then
        lost += by_then - sum(_stored_in(copy).values())
        shutil.rmtree(copy)
    what = (
        f"at {len(moments)} moments {acknowledged:,} events in all had been acknowledged, and "
        f"{lost:,} of them were behind the last completed sync, and gone"
    )
    return Seen(acknowledged, what, harmed=lost)


def _appended(data: Path) -> list[int]:
    """When each event was acknowledged, in nanoseconds, by a server that is killed in the end."""
    server = valkey9(data)
    told: list[int] = []
    with Redis.from_url(server.url, protocol=2) as client:  # pyright: ignore[reportUnknownMemberType]
        found: Any = client
        found.config_set("appendfsync", "everysec")
        end = time.monotonic() + EVERYSEC_FOR
        while time.monotonic() < end:
            found.xadd(f"order:{len(told) % 20}", {"c": f"n{len(told)}"})
            told.append(time.monotonic_ns())
    os.kill(server.pid, signal.SIGKILL)
    server.stop()
    return told


def _stored_in(data: Path) -> Counter[str]:
    server: Killable = valkey9(data)
    try:
        return _stored(server.url)
    finally:
        server.stop()


# Competing consumers


def competing(scale: Scale) -> Seen:
    """Two workers in one consumer group, each applying what it gets to a shared view."""
    return asyncio.run(_competing(scale))


async def _competing(scale: Scale) -> Seen:
    events, rows = scale.of(2_000, 200), 5
    server = await asyncio.to_thread(valkey9, scale.folder / "data")
    chance = random.Random(scale.seed)
    try:
        setup = AsyncRedis.from_url(server.url, protocol=2)  # pyright: ignore[reportUnknownMemberType]
        versions = itertools.count()
        for _ in range(events):
            version = next(versions)
            await setup.xadd("feed", {"s": f"order:{version % rows}", "v": str(version)})
        await setup.xgroup_create("feed", "view", id="0")
        view: dict[str, int] = {}
        swaps = [0]
        await asyncio.gather(*[_worker(server.url, n, view, swaps, chance) for n in range(2)])
        await setup.aclose()
        what = f"of {events:,} events {swaps[0]:,} were applied after a later one of their row"
        return Seen(events, what, harmed=swaps[0])
    finally:
        await asyncio.to_thread(server.stop)


def _entries_of(reply: Any) -> list[tuple[bytes, dict[bytes, bytes]]]:
    """Those of the one stream, which redis-py answers as a list or a dict, by protocol."""
    entries = reply[b"feed"] if hasattr(reply, "items") else reply[0][1]
    return cast("list[tuple[bytes, dict[bytes, bytes]]]", entries)


async def _worker(
    url: str, number: int, view: dict[str, int], swaps: list[int], chance: random.Random
) -> None:
    client: Any = AsyncRedis.from_url(url, protocol=2)  # pyright: ignore[reportUnknownMemberType]
    while True:
        found = await client.xreadgroup("view", f"worker-{number}", {"feed": ">"}, count=10)
        if not found:
            break
        entries = _entries_of(found)
        await asyncio.sleep(chance.uniform(0, 0.002))  # what it takes to apply them
        for entry_id, fields in entries:
            row, version = fields[b"s"].decode(), int(fields[b"v"])
            swaps[0] += version < view.get(row, -1)
            view[row] = max(version, view.get(row, -1))
            await client.xack("feed", "view", entry_id)
    await client.aclose()


_NOTHING = "Nothing that holds: this is what the same faults do to code without Whence."

FAULTS = (
    Fault(
        "naive WATCH/MULTI append",
        "One reply in 20 is lost; what failed is tried again.",
        _NOTHING,
        "",
        _lost_replies(watch_and_multi),
    ),
    Fault(
        "naive redis-py with its retries",
        "XADD with one reply in 20 lost; redis-py tries it again by itself.",
        _NOTHING,
        "",
        _lost_replies(plain_xadd),
    ),
    Fault(
        "naive appendfsync everysec",
        "Power loss at random moments of 5 s of appends; the log ends where the last sync that "
        "the server had completed left it, as written down by a library in front of fdatasync.",
        _NOTHING,
        "",
        everysec,
    ),
    Fault(
        "naive competing consumers",
        "Two workers of one group take turns at a feed with pauses of up to 2 ms.",
        _NOTHING,
        "",
        competing,
    ),
)
