"""Virtual time for all that asks the clock, and nothing that differs from run to run."""

import asyncio
import contextlib
import gc
import os
import random
import secrets
import socket
import time
from collections.abc import Callable, Generator
from functools import cache
from typing import Any

import hiredis
from anyio._backends import _asyncio
from redis import utils
from redis.asyncio import connection
from redis.event import EventDispatcher
from redis.retry import AbstractRetry

from tests.faults.simulation.loop import VirtualLoop
from tests.faults.simulation.scopes import numbered_scopes
from whence.store import address

# Seconds since 1970 at the beginning of every simulation.
EPOCH = 1_800_000_000.0

# hiredis' own annotation says "a tuple of one".
_pack: Callable[[tuple[str, ...]], bytes] = hiredis.pack_command  # type: ignore[assignment]
_pool = cache(address._pool)  # pyright: ignore[reportPrivateUsage]


@cache
def _dispatcher() -> EventDispatcher:
    return EventDispatcher()


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
def _replaced(attributes: list[tuple[Any, str, object]]) -> Generator[None]:
    """Within the block these are others."""
    before = [(owner, name, getattr(owner, name, None)) for owner, name, _ in attributes]
    for owner, name, value in attributes:
        setattr(owner, name, value)
    try:
        yield
    finally:
        for owner, name, value in before:
            if value is None:
                delattr(owner, name)
            else:
                setattr(owner, name, value)


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

    def itself(retry: object, _: object) -> object:
        return retry

    # A worker's name has both in it, and what it does may follow from its name.
    def process() -> int:
        return 1

    def machine() -> str:
        return "simulated"

    def forget(_: object) -> None:
        """A tenth of what a task costs is that asyncio notes it down for who wants to see all."""

    def packed(_: object, *command: str) -> list[bytes]:
        return [_pack(command)]

    replaced: list[tuple[Any, str, object]] = [
        (vars(asyncio.tasks)["_all_tasks"], "add", forget),
        # anyio's notes on each task, which need not be weak: the loop keeps its tasks anyway.
        (_asyncio, "_task_states", {}),
        (time, "monotonic", loop.time),
        (time, "monotonic_ns", monotonic_ns),
        (time, "perf_counter", loop.time),
        (time, "time", clock.time),
        (time, "time_ns", clock.time_ns),
        (os, "urandom", chance.randbytes),
        (os, "getpid", process),
        (socket, "gethostname", machine),
        (secrets, "token_hex", token_hex),
        (secrets, "token_bytes", chance.randbytes),
        (secrets, "randbelow", chance.randrange),
        # For each connection redis-py reads its own package metadata and copies what it would need
        # to try again, makes ready to tell others of events, and packs its first commands in
        # Python; and for each pool, of which only this is used that it knows how to connect, it
        # reads the URL: a tenth of a simulation.
        (address, "_pool", _pool),
        (connection, "EventDispatcher", _dispatcher),
        (connection.AbstractConnection, "pack_command", packed),
        (utils, "get_lib_version", version),
        (AbstractRetry, "__deepcopy__", itself),
    ]
    try:
        with _replaced(replaced), numbered_scopes():
            yield
    finally:
        random.setstate(state)
