"""The proxy's configuration in examples/, with a real HAProxy and two web processes behind it."""

import asyncio
import re
import shutil
import signal
import socket
import subprocess
from collections import defaultdict
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from tests.cli.program import ORDERS, PROJECT, Program, eventually
from tests.web.client import CANCEL, PLACE
from whence.store.embedded import EmbeddedServer
from whence.store.eventstore import EventStore, open_store
from whence.store.ids import StreamId

HAPROXY = shutil.which("haproxy", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
pytestmark = pytest.mark.skipif(
    HAPROXY is None, reason="there is no HAProxy here (Debian: apt-get install haproxy)"
)

CALLERS = 8
ORDERS_EACH = 25
KILL_AFTER = 60  # acknowledged commands
COMMANDS = {"place": PLACE, "approve": {}, "cancel": CANCEL}


class Proxy(NamedTuple):
    """The running proxy: where it listens, and what it writes down of each request."""

    url: str
    log: Path

    def servers(self, *, after: int = 0) -> dict[str, set[str]]:
        """By order, the processes that have answered a command to it; ``after`` so many lines."""
        found: dict[str, set[str]] = defaultdict(set)
        for line in self.lines()[after:]:
            if match := re.fullmatch(r"POST /orders/([^/]+)/\w+ (web\d) 20[01]", line):
                found[match[1]].add(match[2])
        return found

    def lines(self) -> list[str]:
        return self.log.read_text(encoding="utf-8").splitlines()


class Fleet(NamedTuple):
    proxy: Proxy
    webs: dict[str, Program]
    store_url: str


@pytest.fixture
def fleet(tmp_path: Path) -> Generator[Fleet]:
    with EmbeddedServer.start(tmp_path / "data") as server:
        env = {"WHENCE_DOMAIN": ORDERS, "WHENCE_URL": server.url}
        with (
            Program("web", "--port", "0", cwd=tmp_path, env=env) as one,
            Program("web", "--port", "0", cwd=tmp_path, env=env) as two,
            haproxy(tmp_path, one.base, two.base) as proxy,
        ):
            yield Fleet(proxy, {"web1": one, "web2": two}, server.url)


@contextmanager
def haproxy(folder: Path, *bases: str) -> Generator[Proxy]:
    """HAProxy with the configuration of the examples; only its ports are others."""
    assert HAPROXY is not None
    port = free_port()
    text = (PROJECT / "examples/proxy/haproxy.cfg").read_text(encoding="utf-8")
    for there, here in zip((8000, 8001, 8002), (port, *map(port_of, bases)), strict=True):
        assert text.count(f"127.0.0.1:{there}\n") == 1
        text = text.replace(f"127.0.0.1:{there}\n", f"127.0.0.1:{here}\n")
    config, log = folder / "haproxy.cfg", folder / "haproxy.log"
    config.write_text(text, encoding="utf-8")
    with log.open("wb") as out:
        process = subprocess.Popen([HAPROXY, "-db", "-f", config], stdout=out, stderr=out)
    try:
        eventually(lambda: answers(f"http://127.0.0.1:{port}/readyz"), "the proxy")
        yield Proxy(f"http://127.0.0.1:{port}", log)
    finally:
        process.kill()
        process.wait()


def free_port() -> int:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port: int = unused.getsockname()[1]
        return port


def port_of(base: str) -> int:
    port = httpx.URL(base).port
    assert port is not None
    return port


def answers(url: str) -> bool:
    try:
        return httpx.get(url).status_code == 200
    except httpx.HTTPError:
        return False


class Acknowledged(NamedTuple):
    order: str
    version: int
    key: str


async def work(url: str, caller: int, acknowledged: list[Acknowledged]) -> None:
    """Commands one order after the other, each with a key, and each until it is acknowledged."""
    async with httpx.AsyncClient(base_url=url, timeout=20) as client:
        for number in range(ORDERS_EACH):
            order = f"{caller}-{number}"
            for command, body in COMMANDS.items():
                key = f"{order}-{command}"
                version = await until_acknowledged(client, f"/orders/{order}/{command}", body, key)
                acknowledged.append(Acknowledged(order, version, key))


async def until_acknowledged(
    client: httpx.AsyncClient, path: str, body: dict[str, object], key: str
) -> int:
    async with asyncio.timeout(30):
        while True:
            try:
                answer = await client.post(path, json=body, headers={"Idempotency-Key": key})
            except httpx.TransportError:
                continue
            if answer.status_code < 300:
                version: int = answer.json()["version"]
                return version
            assert answer.status_code in {502, 503, 504}, answer.text
            await asyncio.sleep(0.01)  # as a client would, before it tries again


async def test_each_order_keeps_its_process(fleet: Fleet) -> None:
    acknowledged: list[Acknowledged] = []

    await asyncio.gather(*[work(fleet.proxy.url, caller, acknowledged) for caller in range(4)])

    eventually(lambda: len(fleet.proxy.servers()) == 4 * ORDERS_EACH, "the log of the proxy")
    servers = fleet.proxy.servers()
    assert {len(processes) for processes in servers.values()} == {1}
    assert {process for processes in servers.values() for process in processes} == {"web1", "web2"}


async def test_when_a_process_dies_its_orders_move_and_nothing_acknowledged_is_lost(
    fleet: Fleet,
) -> None:
    acknowledged: list[Acknowledged] = []
    callers = [
        asyncio.create_task(work(fleet.proxy.url, caller, acknowledged))
        for caller in range(CALLERS)
    ]
    await acknowledged_reach(acknowledged, KILL_AFTER, callers)

    fleet.webs["web1"].send(signal.SIGKILL)
    lines = len(fleet.proxy.lines())
    await asyncio.gather(*callers)

    assert len(acknowledged) == CALLERS * ORDERS_EACH * len(COMMANDS)
    async with open_store(fleet.store_url) as store:
        await check_stored(store, acknowledged)
    before, after = fleet.proxy.servers(), fleet.proxy.servers(after=lines)
    assert {"web1"} in before.values(), "the process that died had no order"
    assert {process for processes in after.values() for process in processes} >= {"web2"}
    assert answers(f"{fleet.proxy.url}/orders/0-0")


async def check_stored(store: EventStore, acknowledged: list[Acknowledged]) -> None:
    """Each acknowledged command is there once, at its version, and nothing else is."""
    for order in {one.order for one in acknowledged}:
        stored = [
            (record.version, record.command_id)
            async for record in store.read(StreamId("order", order))
        ]
        told = [(one.version, one.key) for one in acknowledged if one.order == order]
        assert stored == sorted(told)


async def acknowledged_reach(
    acknowledged: list[Acknowledged], enough: int, callers: list[asyncio.Task[None]]
) -> None:
    async with asyncio.timeout(60):
        while len(acknowledged) < enough:
            assert not any(caller.done() for caller in callers)
            await asyncio.sleep(0.005)
