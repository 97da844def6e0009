"""One measured figure, and the ways to measure it fairly on a noisy machine."""

import tempfile
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

from whence.store.embedded import EmbeddedServer

ROUNDS = 5


class Figure(msgspec.Struct, frozen=True):
    """``value`` in ``unit``; ``ratio`` = value / baseline, and ``against`` says what that is."""

    bench: str
    value: float
    unit: str
    against: str
    ratio: float

    def as_json(self) -> str:
        return msgspec.json.encode(self).decode()


class Pair(NamedTuple):
    value: float
    baseline: float


async def compared(
    ours: Callable[[], Awaitable[float]],
    baseline: Callable[[], Awaitable[float]],
    rounds: int = ROUNDS,
) -> Pair:
    """Measure both in turns, and return those of the round with the median ratio.

    Neighbours on a shared machine slow both sides of a round alike, not both sides of a run.
    """
    pairs = [Pair(value=await ours(), baseline=await baseline()) for _ in range(rounds)]
    return sorted(pairs, key=lambda pair: pair.value / pair.baseline)[len(pairs) // 2]


def figure(bench: str, pair: Pair, unit: str, against: str) -> Figure:
    ratio = round(pair.value / pair.baseline, 3)
    return Figure(bench, round(pair.value, 1), unit, against, ratio)


@contextmanager
def server(fsync: Literal["always", "everysec"] = "always") -> Generator[EmbeddedServer]:
    """An embedded Valkey in a folder of its own, on disk."""
    with (
        tempfile.TemporaryDirectory(prefix="whence-bench-") as folder,
        EmbeddedServer.start(Path(folder) / "data", fsync=fsync) as running,
    ):
        yield running
