"""What simulations run on: a server that wakes who waits, and a loop that comes to an end."""

import asyncio
import random
from hashlib import sha1

import hiredis
import pytest

from tests.faults.simulation.loop import Stuck, VirtualLoop
from tests.faults.simulation.network import Network
from tests.faults.simulation.rates import CALM
from tests.faults.simulation.server import Blocked, Server, Waiting

READ = [b"XREADGROUP", b"GROUP", b"view", b"one", b"BLOCK", b"1000", b"STREAMS", b"{a}feed", b">"]


def told(server: Server, *command: bytes) -> object:
    reply = server.execute(list(command))
    assert isinstance(reply, bytes)
    reader = hiredis.Reader()
    reader.feed(reply)
    return reader.gets()


def test_who_waits_for_a_stream_looks_when_it_is_written_and_not_before() -> None:
    server = Server()
    told(server, b"XGROUP", b"CREATE", b"{a}feed", b"view", b"0", b"MKSTREAM")
    blocked = server.execute(READ)
    assert isinstance(blocked, Blocked)
    looks: list[object] = []
    server.blocked[1] = Waiting(frozenset(blocked.keys), lambda: looks.append(server.execute(READ)))

    told(server, b"XADD", b"{b}feed", b"0-1", b"k", b"v")
    assert looks == []

    script = b"return redis.call('XADD', KEYS[1], '0-1', 'k', 'v')"
    assert told(server, b"EVAL", script, b"1", b"{a}feed") == b"0-1"
    (found,) = looks
    assert isinstance(found, bytes)
    assert b"{a}feed" in found


def test_a_script_is_run_by_its_hash_until_it_is_forgotten() -> None:
    server = Server()
    script = b"#!lua\nreturn { KEYS[1], ARGV[1] + 1, false, { ok = 'DONE' } }"
    assert told(server, b"EVAL", script, b"1", b"key", b"41") == [b"key", 42, None, b"DONE"]
    sha = sha1(script, usedforsecurity=False).hexdigest().encode()
    assert told(server, b"EVALSHA", sha, b"1", b"key", b"1") == [b"key", 2, None, b"DONE"]

    server.forget_scripts()
    assert "NOSCRIPT" in str(told(server, b"EVALSHA", sha, b"1", b"key", b"1"))


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (b"other = 1", "global variable"),
        (b"return redis.call('GET', KEYS[1])", "WRONGTYPE"),
        (b"return redis.call('EVAL', 'return 1', 0)", "not allowed from script"),
    ],
)
def test_a_script_that_may_not_do_something_is_refused(script: bytes, said: str) -> None:
    server = Server()
    told(server, b"HSET", b"hash", b"field", b"value")
    assert said in str(told(server, b"EVAL", script, b"1", b"hash"))


def test_a_loop_that_goes_round_in_circles_is_stuck_and_can_be_finished() -> None:
    network = Network(Server(), random.Random(1), CALM)
    loop = VirtualLoop(random.Random(1), network, shuffled=False)  # type: ignore[abstract]

    async def round_and_round() -> None:
        while True:
            await asyncio.sleep(0)

    with pytest.raises(Stuck):
        loop.run_until_complete(round_and_round())
    loop.finish()


def test_a_callback_that_fails_is_found() -> None:
    network = Network(Server(), random.Random(1), CALM)
    loop = VirtualLoop(random.Random(1), network, shuffled=True)  # type: ignore[abstract]

    def fail() -> None:
        raise ValueError("no")

    async def once() -> None:
        loop.call_soon(fail)
        await asyncio.sleep(1)

    loop.run_until_complete(once())
    (error,) = loop.errors
    assert error.startswith("crashed: ")
    assert "ValueError('no')" in error
