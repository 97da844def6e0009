"""A soak: mixed load for a while, with flat memory, file descriptors and latency.

``python -m tests.faults.campaign.soak SECONDS SEED`` is a process that does it, beside the others.
"""

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import quantiles
from typing import NamedTuple

import msgspec

from tests.faults.campaign.fault import Fault, Scale, Seen
from tests.faults.campaign.servers import valkey9
from tests.faults.commander import Commander, Work
from tests.faults.domain import model
from tests.faults.history import Recorder
from tests.faults.killing import AGGREGATES, commanding
from tests.faults.simulation.view import read_model
from whence import Runtime, open_store
from whence.projections.worker import Worker

EVERY = 1.0
# What is flat: the last third beside the second one, for caches fill in the first.
MOST_GROWTH = 0.10
MOST_FILES = 5


class Sample(NamedTuple):
    """Bytes of memory, open files, and how many commands a second were done."""

    memory: int
    files: int
    rate: float


class Soaked(msgspec.Struct, frozen=True):
    """The middle and the last third of a soak beside each other."""

    seconds: float
    commands: int
    memory: tuple[int, int]
    files: tuple[int, int]
    rate: tuple[float, float]

    @property
    def broken(self) -> tuple[str, ...]:
        grown = self.memory[1] / self.memory[0] - 1
        found = [f"memory grew by {grown:.0%}"] if grown > MOST_GROWTH else []
        more = self.files[1] - self.files[0]
        return tuple(found + ([f"{more} files more are open"] if more > MOST_FILES else []))


async def soak(seconds: float, seed: int, folder: Path) -> Soaked:
    server = await asyncio.to_thread(valkey9, folder / "data")
    samples: list[Sample] = []
    try:
        with Recorder(Path(os.devnull), "1") as recorder:
            async with open_store(server.url) as store, Runtime(store, model) as runtime:
                worker = asyncio.create_task(Worker(store, read_model).run())
                commander = Commander(runtime, recorder, Work(seed, AGGREGATES))
                async with commanding(commander):
                    end = time.monotonic() + seconds
                    while time.monotonic() < end:
                        done, at = commander.done, time.monotonic()
                        await asyncio.sleep(min(EVERY, seconds / 30))
                        rate = (commander.done - done) / (time.monotonic() - at)
                        samples.append(Sample(_memory(), _files(), rate))
                worker.cancel()
                await asyncio.wait([worker])
    finally:
        await asyncio.to_thread(server.stop)
    third = len(samples) // 3
    middle, last = samples[third : 2 * third], samples[2 * third :]
    return Soaked(
        seconds,
        commander.done,
        (_median([s.memory for s in middle]), _median([s.memory for s in last])),
        (_median([s.files for s in middle]), _median([s.files for s in last])),
        (_median([s.rate for s in middle]), _median([s.rate for s in last])),
    )


def _median(values: list[int] | list[float]) -> int:
    return round(quantiles(values, n=2)[0])


def _memory() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


SECONDS = 1_800.0


def run(scale: Scale) -> Seen:
    """A soak in a process of its own, as long as the campaign's part of 30 minutes."""
    seconds = SECONDS * scale.part
    arguments = [str(seconds), str(scale.seed), str(scale.folder)]
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.campaign.soak", *arguments],
        capture_output=True,
        check=True,
        timeout=seconds + 300,
    )
    found = msgspec.json.decode(done.stdout, type=Soaked)
    memory, files = found.memory, found.files
    return Seen(
        1,
        f"{found.commands:,} commands in {seconds:,.0f} s; the middle and the last third: "
        f"{memory[0] / 1e6:.1f} and {memory[1] / 1e6:.1f} MB, {files[0]} and {files[1]} open "
        f"files, {found.rate[0]:,.0f} and {found.rate[1]:,.0f} commands a second by 32 callers",
        found.broken,
    )


FAULT = Fault(
    "T16 soak",
    "32 callers, a worker that keeps a view, and an embedded server, beside all other faults.",
    "Memory and open files do not grow.",
    "A rate: the machine does all the rest of the campaign meanwhile.",
    run,
)


def main(arguments: list[str]) -> None:
    seconds, seed, folder = float(arguments[0]), int(arguments[1]), Path(arguments[2])
    found = asyncio.run(soak(seconds, seed, folder))
    sys.stdout.write(msgspec.json.encode(found).decode())


if __name__ == "__main__":
    main(sys.argv[1:])
