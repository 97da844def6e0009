"""Our wire says what redis-py says, and is honest about what it does not know."""

import asyncio
import gc
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import cast

import pytest
from redis.asyncio import Redis

from whence.store.address import Address
from whence.store.client_wire import ClientWire
from whence.store.errors import StoreUnavailable
from whence.store.wire import Command, ConnectionLost, ServerError, SocketWire, Wire


@pytest.fixture
async def fast(valkey_url: str) -> AsyncIterator[Wire]:
    wire = Address.parse(valkey_url).wire()
    yield wire
    await wire.close()


@pytest.fixture
async def slow(valkey_url: str) -> AsyncIterator[Wire]:
    client = Redis.from_url(valkey_url, protocol=2)  # pyright: ignore[reportUnknownMemberType]
    wire = ClientWire(client, valkey_url, knows_shebang=True)
    yield wire
    await wire.close()


def conversation(key: str) -> Sequence[Command]:
    return [
        ("XADD", key, "1-0", "f", b"\x00\xff\r\n"),
        ("XADD", key, "2-0", "f", "ü" * 1000, "n", 12345678901234),
        ("XADD", key, "1-0", "f", "too small"),
        ("XRANGE", key, "-", "+"),
        ("XREVRANGE", key, "+", "-", "COUNT", 1),
        ("GET", f"{key}-none"),
        ("HMGET", f"{key}-none", "a", "b"),
        ("INCRBY", f"{key}-n", -7),
        ("NO-SUCH-COMMAND",),
        ("EVALSHA", "0" * 40, 0),
        ("XREAD", "COUNT", 1, "STREAMS", key, "0"),
        ("EVAL", "#!lua\nreturn {1, 'a', {}, false, {err='MINE it is'}}", 0),
        ("DEL", key, f"{key}-n"),
    ]


def plain(reply: object) -> object:
    """Replies that can be compared; of an error redis-py sometimes drops the first word."""
    if isinstance(reply, list):
        return [plain(item) for item in cast("list[object]", reply)]
    return "an error" if isinstance(reply, Exception) else reply


async def test_it_answers_as_redis_py_does(fast: Wire, slow: Wire, namespace: str) -> None:
    mine = await fast.call(conversation(namespace))
    reference = await slow.call(conversation(namespace))

    assert plain(mine) == plain(reference)
    assert isinstance(mine[2], ServerError)


async def test_concurrent_calls_get_their_own_answers(fast: Wire) -> None:
    async def echo(number: int) -> None:
        replies = await fast.call([("ECHO", f"{number}-{i}") for i in range(number % 7 + 1)])
        assert replies == [f"{number}-{i}".encode() for i in range(number % 7 + 1)]

    await asyncio.gather(*[echo(number) for number in range(500)])


async def test_a_caller_who_leaves_does_not_shift_the_answers(fast: Wire) -> None:
    for number in range(50):
        leaver = asyncio.create_task(fast.call([("ECHO", f"lost-{number}")] * 3))
        await asyncio.sleep(0)
        leaver.cancel()
        assert await fast.call([("ECHO", str(number))]) == [str(number).encode()]


async def test_no_answer_in_time_is_unknown_and_the_next_call_is_not_confused(
    valkey_url: str, namespace: str
) -> None:
    wire = Address.parse(valkey_url).wire(timeout=0.05)
    try:
        with pytest.raises(ConnectionLost, match="no answer within"):
            await wire.call([("BLPOP", f"{namespace}-nothing", 30)])
        assert await wire.call([("ECHO", "next")]) == [b"next"]
    finally:
        await wire.close()


async def test_a_connection_that_the_server_ends_is_opened_again(fast: Wire, slow: Wire) -> None:
    (client_id,) = await fast.call([("CLIENT", "ID")])
    waiting = asyncio.create_task(fast.call([("CLIENT", "NO-EVICT", "OFF"), ("BLPOP", "x", 30)]))
    while await slow.call([("CLIENT", "KILL", "ID", client_id)]) != [1]:
        await asyncio.sleep(0.01)

    with pytest.raises(ConnectionLost):
        await waiting
    assert await fast.call([("PING",)]) == [b"PONG"]


async def test_what_is_not_redis_is_a_lost_connection() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    wire = Address.parse(f"redis://127.0.0.1:{port}").wire(timeout=2)
    try:
        with pytest.raises((ConnectionLost, StoreUnavailable)):
            await wire.call([("PING",)])
    finally:
        await wire.close()
        server.close()
        await server.wait_closed()


@asynccontextmanager
async def silent_server() -> AsyncGenerator[tuple[str, list[int]]]:
    """A server that accepts and says nothing: its URL, and a list that grows with each visitor."""
    visits: list[int] = []
    over = asyncio.Event()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        visits.append(1)
        await over.wait()
        writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}", visits
    finally:
        over.set()
        server.close()


async def test_a_server_that_accepts_and_says_nothing_is_unavailable() -> None:
    async with silent_server() as (url, visits), asyncio.timeout(10):
        address = Address.parse(url)
        wire = SocketWire(address.pool(), address.shown, timeout=1, connect_timeout=0.1)

        with pytest.raises(StoreUnavailable, match=r"no connection within 0\.1 s"):
            await wire.call([("PING",)])
        await wire.close()
    assert len(visits) == 1


async def test_all_who_wait_for_a_connection_share_one_attempt() -> None:
    async with silent_server() as (url, visits), asyncio.timeout(10):
        address = Address.parse(url)
        wire = SocketWire(address.pool(), address.shown, timeout=1, connect_timeout=0.2)

        calls = [wire.call([("PING",)]) for _ in range(50)]
        results = await asyncio.gather(*calls, return_exceptions=True)
        await wire.close()

    assert {type(result) for result in results} == {StoreUnavailable}
    assert len(visits) == 1


async def test_an_attempt_that_fails_when_nobody_waits_any_more_is_no_news() -> None:
    """As of a worker that is stopped while it connects."""
    reported: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
    async with silent_server() as (url, visits), asyncio.timeout(10):
        address = Address.parse(url)
        wire = SocketWire(address.pool(), address.shown, timeout=1, connect_timeout=0.1)
        call = asyncio.create_task(wire.call([("PING",)]))
        while not visits:
            await asyncio.sleep(0.001)
        (attempt,) = {task for task in asyncio.all_tasks() if "_open" in repr(task.get_coro())}
        call.cancel()
        await asyncio.wait([call, attempt])
        await wire.close()
    del attempt, call, wire
    gc.collect()
    assert reported == []


async def test_a_wire_that_was_closed_stays_closed(valkey_url: str) -> None:
    wire = Address.parse(valkey_url).wire()
    await wire.call([("PING",)])
    await wire.close()

    with pytest.raises(StoreUnavailable, match="closed"):
        await wire.call([("PING",)])


async def test_in_memory_a_thousand_may_call_at_once(namespace: str) -> None:
    wire = Address.parse(f"memory://{namespace}").wire()

    replies = await asyncio.gather(*[wire.call([("INCR", "n")]) for _ in range(1000)])

    assert [reply for (reply,) in replies] == list(range(1, 1001))
    await wire.close()


def test_a_socket_address_gets_the_fast_wire(valkey_url: str) -> None:
    assert isinstance(Address.parse(valkey_url).wire(), SocketWire)
