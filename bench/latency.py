"""How long one command takes: alone, and at half of the load that this machine can take."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import uvloop
from redis.asyncio import Redis

from bench.commands import AGGREGATES, send_all
from bench.domain import REFERENCE, Account, Deposited, domain
from bench.figure import Figure, Pair, compared, figure, server
from whence import Runtime, open_store
from whence.store.address import Address
from whence.store.append import Append, NewEvent, append_call
from whence.store.eventstore import EventStore
from whence.store.ids import CommandIds, StreamId
from whence.store.script import ScriptCall, run_scripts

CALLERS = 64
ALONE = 2_000  # commands per round
HALF_LOAD_FOR = 3.0  # seconds per round
ROUNDS = 5  # of which at most one or two meet a rewrite of the append only file
DEMANDED_MS = 10.0


def figures() -> Iterator[Figure]:
    for fsync in ("always", "everysec"):
        with server(fsync) as running:
            yield from uvloop.run(_alone(running.url, fsync))
            yield uvloop.run(_half_load(running.url, fsync))


@asynccontextmanager
async def _live(url: str, namespace: str) -> AsyncGenerator[Runtime]:
    """A runtime all of whose aggregates are live, as in a system that has run for a minute."""
    async with (
        open_store(url, namespace=namespace, durability="relaxed") as store,
        Runtime(store, domain.write_model) as runtime,
    ):
        await send_all(runtime, CALLERS, AGGREGATES)
        yield runtime


# Sends one script call and returns what it answers.
_Send = Callable[[ScriptCall], Awaitable[Any]]


async def _alone(url: str, fsync: str) -> list[Figure]:
    """Against the client that one would write it with, and against the quickest way there is."""
    wire = Address.parse(url).wire()
    client = Redis.from_url(url)  # pyright: ignore[reportUnknownMemberType]

    async def by_client(call: ScriptCall) -> Any:
        return await client.evalsha(call.script.sha, len(call.keys), *call.keys, *call.args)

    async def by_wire(call: ScriptCall) -> Any:
        (reply,) = await run_scripts(wire, [call])
        return reply

    found: list[Figure] = []
    async with _live(url, "alone") as runtime:
        for send, kind, sender in (
            (by_client, "client", "redis-py"),
            (by_wire, "wire", "our wire"),
        ):
            bare = _BareCalls(runtime.store, send, kind)
            pair = await compared(lambda: send_all(runtime, 1, ALONE), bare.run)
            against = f"a bare EVALSHA by {sender}, one append per call, its arguments at hand"
            name = f"latency, 1 caller, {fsync}, {sender}"
            found.append(figure(name, pair, "commands/s", against))
    await wire.close()
    await client.aclose()
    return found


class _BareCalls:
    """The same script and the same event, and nothing else: all is prepared before the clock."""

    def __init__(self, store: EventStore, send: _Send, kind: str) -> None:
        self._store = store
        self._send = send
        self._ids = CommandIds()
        self._streams = [StreamId(kind, str(number)) for number in range(ALONE)]
        self._version = 0
        self._moments = [0] * ALONE

    async def run(self) -> float:
        """One append to each stream; returns appends per second."""
        calls = [self._call(*known) for known in zip(self._streams, self._moments, strict=True)]
        self._version += 1
        start = time.perf_counter()
        for number, call in enumerate(calls):
            answer, _, _, self._moments[number] = await self._send(call)
            assert answer == b"committed", answer
        return ALONE / (time.perf_counter() - start)

    def _call(self, stream: StreamId, moment: int) -> ScriptCall:
        event = NewEvent(domain.write_model.events.encode(Deposited(1, 1, REFERENCE)))
        append = Append(stream, self._version, self._ids.next(), [event], after_us=moment)
        return append_call(self._store.keys, [append])


async def _half_load(url: str, fsync: str) -> Figure:
    async with _live(url, "half-load") as runtime:
        found: list[float] = []
        for _ in range(ROUNDS):
            most = await send_all(runtime, CALLERS, 2 * AGGREGATES)
            found.append(await _p99(runtime, most / 2))
    p99 = sorted(found)[ROUNDS // 2]
    name = f"latency, p99 at half load, {CALLERS} callers, {AGGREGATES} aggregates, {fsync}"
    return figure(name, Pair(p99, DEMANDED_MS), "ms", f"{DEMANDED_MS:g} ms")


async def _p99(runtime: Runtime, rate: float) -> float:
    """Milliseconds, of which 99 in 100 commands take less when ``rate`` are sent each second.

    They are due at regular moments, whether those before them are done or not, and the clock runs
    from the moment a command was due: one that waits for its caller has waited as well.
    """
    every = CALLERS / rate
    start = time.perf_counter()
    took: list[float] = []

    async def caller(number: int) -> None:
        due = start + every * number / CALLERS
        id_ = number
        while due < start + HALF_LOAD_FOR:
            await asyncio.sleep(due - time.perf_counter())
            await runtime.send(Account.deposit, str(id_), amount=1, reference=REFERENCE)
            took.append(time.perf_counter() - due)
            due += every
            id_ = (id_ + CALLERS) % AGGREGATES

    await asyncio.gather(*[caller(number) for number in range(CALLERS)])
    return sorted(took)[int(len(took) * 0.99)] * 1000
