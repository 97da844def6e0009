"""``python -m tests.actors.touching COUNT``: touch so many aggregates once; prints bytes of RSS.

The store is a stub without a server: what is measured is this process alone.
"""

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import uvloop

from tests.actors.domain import Counter, model
from tests.calls import submitting
from whence import Runtime
from whence.cli.running import relax_gc
from whence.store.append import Append, Committed
from whence.store.eventstore import EventStore, open_store

CALLERS = 500
# What the process needs whatever it does: imports, pools, the first actors.
WARM_UP = 2_000


class Report(msgspec.Struct):
    """``before`` and ``after`` are bytes of resident memory, ``peak`` the most there were."""

    before: int
    after: int
    peak: int
    live_actors: int
    live_bytes: int
    stored: int


async def main(count: int) -> None:
    async with open_store("memory://touching", durability="relaxed") as store:
        _without_server(store)
        async with Runtime(store, model) as runtime:
            await _touch(runtime, range(WARM_UP))
            before = _resident("VmRSS")
            await _touch(runtime, range(WARM_UP, count))
            seen = runtime.metrics()
            stored = seen.types["counter"].commands["stored"]
            report = Report(
                before,
                _resident("VmRSS"),
                _resident("VmHWM"),
                seen.live_actors,
                seen.live_bytes,
                stored,
            )
            sys.stdout.write(msgspec.json.encode(report).decode())


def _without_server(store: EventStore) -> None:
    async def read_many(spans: Sequence[Any], *, limit: int) -> list[list[Any]]:
        return [[] for _ in spans]

    async def append_many(appends: Sequence[Append]) -> list[Committed]:
        await asyncio.sleep(0)
        return [Committed(append.expected + 1, 1, 1_767_225_600_000_000) for append in appends]

    setattr(store, "read_many", read_many)  # noqa: B010  # mypy knows a method from an attribute
    setattr(store, "submit", submitting(append_many))  # noqa: B010


async def _touch(runtime: Runtime, numbers: range) -> None:
    waiting = iter(numbers)

    async def caller() -> None:
        for number in waiting:
            await runtime.send(Counter.count, f"counter-{number}")

    await asyncio.gather(*[caller() for _ in range(CALLERS)])


def _resident(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = [line for line in lines if line.startswith(f"{name}:")]
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    relax_gc()  # as whence web does
    uvloop.run(main(int(sys.argv[1])))
