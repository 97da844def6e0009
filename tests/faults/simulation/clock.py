"""Virtual time for all that asks the clock, and nothing that differs from run to run."""

import contextlib
import gc
import os
import random
import secrets
import socket
import time
from collections.abc import Generator
from contextlib import AbstractContextManager
from typing import Any
from unittest import mock

from redis import utils

from tests.faults.simulation.loop import VirtualLoop
from tests.faults.simulation.scopes import numbered_scopes

# Seconds since 1970 at the beginning of every simulation.
EPOCH = 1_800_000_000.0


class WallClock:
    """The wall clock of the server, in seconds; ``skew`` is by how much it was set wrong."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop
        self.skew = 0.0

    def time(self) -> float:
        return EPOCH + self._loop.time() + self.skew

    def time_ns(self) -> int:
        return int(self.time() * 1e9)


@contextlib.contextmanager
def without_collections() -> Generator[None]:
    """Within the block no garbage is collected: what and when would differ from run to run."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


@contextlib.contextmanager
def virtual(loop: VirtualLoop, clock: WallClock, chance: random.Random) -> Generator[None]:
    """Within the block this process's clocks are those of the loop, its dice those of the seed."""

    def token_hex(nbytes: int = 8) -> str:
        return chance.randbytes(nbytes).hex()

    state = random.getstate()
    random.seed(chance.random())

    def monotonic_ns() -> int:
        return int(loop.time() * 1e9)

    def version() -> str:
        return "0"

    # A worker's name has both in it, and what it does may follow from its name.
    def process() -> int:
        return 1

    def machine() -> str:
        return "simulated"

    replaced: list[AbstractContextManager[Any]] = [
        mock.patch.object(time, "monotonic", loop.time),
        mock.patch.object(time, "monotonic_ns", monotonic_ns),
        mock.patch.object(time, "perf_counter", loop.time),
        mock.patch.object(time, "time", clock.time),
        mock.patch.object(time, "time_ns", clock.time_ns),
        mock.patch.object(os, "urandom", chance.randbytes),
        mock.patch.object(os, "getpid", process),
        mock.patch.object(socket, "gethostname", machine),
        mock.patch.object(secrets, "token_hex", token_hex),
        mock.patch.object(secrets, "token_bytes", chance.randbytes),
        mock.patch.object(secrets, "randbelow", chance.randrange),
        # redis-py reads its own package metadata for each connection: 3 ms of a simulation's 50.
        mock.patch.object(utils, "get_lib_version", version),
    ]
    try:
        with contextlib.ExitStack() as stack:
            for patch in replaced:
                stack.enter_context(patch)
            stack.enter_context(numbered_scopes())
            yield
    finally:
        random.setstate(state)
