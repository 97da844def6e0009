"""Thousands who keep a server waiting, and one who wants something; and an end in the middle."""

import contextlib
import resource
import signal
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.cli.program import ORDERS, Program
from tests.web.client import PLACE
from whence.store.embedded import EmbeddedServer

CROWD = 10_000
# What each of the two processes needs beside the connections.
SPARE = 500
# The slow ones send a piece of this and then nothing for ever.
LORIS = b"POST /orders/1/place HTTP/1.1\r\nHost: whence\r\nX-"


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    """As many as the crowd takes, in this process; a child inherits the limits."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < CROWD + SPARE:
        pytest.skip(f"{CROWD} connections need more than the {hard} descriptors a process may have")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, CROWD + SPARE), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def connected(base: str, stack: contextlib.ExitStack) -> socket.socket:
    url = httpx.URL(base)
    return stack.enter_context(socket.create_connection((url.host, url.port or 0), timeout=30))


def is_open(connection: socket.socket) -> bool:
    """Whether a connection that has been answered once is still there."""
    assert connection.recv(10_000).startswith(b"HTTP/1.1 200 ")
    connection.setblocking(False)
    try:
        return connection.recv(1) != b""
    except BlockingIOError:
        return True


@pytest.mark.usefixtures("many_descriptors")
def test_ten_thousand_idle_connections_do_not_stop_a_healthy_client(tmp_path: Path) -> None:
    env = {"WHENCE_DOMAIN": ORDERS, "WHENCE_URL": "memory://crowd"}
    with (
        Program("web", "--port", "0", cwd=tmp_path, env=env) as web,
        contextlib.ExitStack() as crowd,
    ):
        base = web.base
        connections = [connected(base, crowd) for _ in range(CROWD)]
        for connection in connections[::2]:
            connection.sendall(LORIS)
        for connection in connections[1::2]:  # idle from now on, as a browser's
            connection.sendall(b"GET /livez HTTP/1.1\r\nHost: whence\r\n\r\n")
        with httpx.Client(base_url=base, timeout=30) as healthy:
            for id_ in range(50):
                assert healthy.post(f"/orders/{id_}/place", json=PLACE).status_code == 201
                assert healthy.get(f"/orders/{id_}").status_code == 200
        assert all(is_open(connection) for connection in connections[1::2])
        assert web.end(signal.SIGTERM) == 0
        assert web.stderr == ""


def test_a_server_that_is_told_to_end_keeps_every_command_it_acknowledged(tmp_path: Path) -> None:
    acknowledged: set[str] = set()
    begun = threading.Event()

    def place(base: str, client: int) -> None:
        """One order after the other, until the server is gone."""
        with httpx.Client(base_url=base, timeout=30) as http:
            for number in range(100_000):
                id_ = f"{client}-{number}"
                try:
                    response = http.post(f"/orders/{id_}/place", json=PLACE)
                except httpx.TransportError:
                    return
                if response.status_code == 201:
                    acknowledged.add(id_)
                else:
                    assert response.status_code == 503, response.text
                if number == 20:
                    begun.set()

    with EmbeddedServer.start(tmp_path / "own") as server:
        env = {"WHENCE_DOMAIN": ORDERS, "WHENCE_URL": server.url}
        with Program("web", "--port", "0", cwd=tmp_path, env=env) as web:
            base = web.base
            with ThreadPoolExecutor(8) as clients:
                ending = [clients.submit(place, base, number) for number in range(8)]
                assert begun.wait(30)
                assert web.end(signal.SIGTERM) == 0
                for one in ending:
                    one.result()
            assert web.stderr == ""
        assert len(acknowledged) > 20
        with Program("web", "--port", "0", cwd=tmp_path, env=env) as again:
            with httpx.Client(base_url=again.base, timeout=30) as http:
                missing = [
                    id_ for id_ in acknowledged if http.get(f"/orders/{id_}").status_code != 200
                ]
            assert missing == []
            assert again.end() == 0
