"""A soak: mixed load for half an hour, with flat memory, file descriptors and latency."""

import asyncio
import os
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median, quantiles
from typing import NamedTuple

from tests.faults.campaign.fault import Fault, Scale, Seen
from tests.faults.campaign.servers import valkey9
from tests.faults.commander import Commander, Task, Work
from tests.faults.domain import model
from tests.faults.history import Recorder
from tests.faults.killing import commanding
from tests.faults.simulation.view import read_model
from whence import Runtime, open_store
from whence.projections.worker import Worker

AGGREGATES = 2_000
# Seconds: between the commands of a caller, and between two samples.
PAUSE = 0.1
EVERY = 5.0
# What is flat. Memory and files: the last third beside the second one, for caches fill in the
# first. Latency: the last third beside the quicker of the two before, in all of which simulations
# take what the machine has left.
MOST_GROWTH = 0.10
MOST_FILES = 5
MOST_SLOWER = 3.0


class Mild(Commander):
    """Callers that pause, and measure how long each command takes, in seconds."""

    def __init__(self, runtime: Runtime, recorder: Recorder, work: Work) -> None:
        super().__init__(runtime, recorder, work)
        self.waits: list[float] = []

    async def send(self, task: Task) -> None:
        await asyncio.sleep(PAUSE)
        began = time.monotonic()
        await super().send(task)
        self.waits.append(time.monotonic() - began)


class Sample(NamedTuple):
    """Bytes of memory, open files, and milliseconds that half, and 99 in 100, commands took."""

    memory: float
    files: float
    median: float
    slowest: float


class Thirds(NamedTuple):
    """The medians of the samples of each third of a soak."""

    first: Sample
    second: Sample
    last: Sample

    @property
    def broken(self) -> list[str]:
        grown = self.last.memory / self.second.memory - 1
        more = self.last.files - self.second.files
        return [
            *([f"memory grew by {grown:.0%}"] if grown > MOST_GROWTH else []),
            *([f"{more:.0f} files more are open"] if more > MOST_FILES else []),
            *(
                [f"a command takes {self.slower:.1f} times as long"]
                if self.slower > MOST_SLOWER
                else []
            ),
        ]

    @property
    def slower(self) -> float:
        """How many times as long as in the quicker of the thirds before a command took at last."""
        return self.last.median / min(self.first.median, self.second.median)


def run(scale: Scale) -> Seen:
    """Load an embedded server, and a worker, for as long as the scale says."""
    commands, samples = asyncio.run(_soak(scale))
    found = _thirds(samples)
    first, second, last = found
    return Seen(
        1,
        f"{commands:,} commands in {scale.seconds / 60:.0f} minutes; the second and the last "
        f"third: {second.memory / 1e6:.1f} and {last.memory / 1e6:.1f} MB, {second.files:.0f} and "
        f"{last.files:.0f} open files; all three: {first.median:.1f}, {second.median:.1f} and "
        f"{last.median:.1f} ms in the median (the last is {found.slower:.2f} times the quickest "
        f"before), {first.slowest:.1f}, {second.slowest:.1f} and {last.slowest:.1f} ms at p99",
        tuple(found.broken),
    )


async def _soak(scale: Scale) -> tuple[int, list[Sample]]:
    server = await asyncio.to_thread(valkey9, scale.folder / "data")
    samples: list[Sample] = []
    try:
        with Recorder(Path(os.devnull), "1") as recorder:
            async with open_store(server.url) as store, Runtime(store, model) as runtime:
                worker = asyncio.create_task(Worker(store, read_model).run())
                commander = Mild(runtime, recorder, Work(scale.seed, AGGREGATES))
                async with commanding(commander) as work:
                    end = time.monotonic() + scale.seconds
                    while time.monotonic() < end:
                        await asyncio.sleep(min(EVERY, scale.seconds / 30))
                        if work.done() or worker.done():
                            break
                        samples.append(_sample(commander))
                if worker.done():
                    worker.result()
                worker.cancel()
                await asyncio.wait([worker])
    finally:
        await asyncio.to_thread(server.stop)
    return commander.done, samples


def _sample(commander: Mild) -> Sample:
    waits, commander.waits = commander.waits, []
    parts = quantiles(waits, n=100)
    return Sample(_memory(), _files(), 1000 * parts[49], 1000 * parts[98])


def _thirds(samples: Sequence[Sample]) -> Thirds:
    size = len(samples) // 3
    return Thirds(*(_typical(samples[n * size : (n + 1) * size]) for n in range(3)))


def _typical(samples: Sequence[Sample]) -> Sample:
    return Sample(*(median(values) for values in zip(*samples, strict=True)))


def _memory() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


FAULT = Fault(
    "T16 soak",
    "32 callers of 2,000 accounts, each with a pause of 0.1 s after a command, a worker that keeps "
    "a view, and an embedded server, beside all other faults. Memory and open files are those of "
    "the program.",
    "In the last third memory (10 %) and open files (5) are those of the second; a command takes "
    "no more than 3 times what it took in the quicker of the first and the second.",
    "A latency: the machine does all the rest of the campaign meanwhile.",
    run,
    lasts_s=1_800.0,
)
