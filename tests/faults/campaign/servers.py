"""Servers that a fault may kill and start again on the same directory."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from whence.store.embedded import EmbeddedServer
from whence.store.server_process import ServerProcess

Start = Callable[[Path], "Killable"]

_CONFIG = """\
port 0
unixsocketperm 700
save ""
appendonly yes
appendfsync always
maxmemory-policy noeviction
"""


class Killable:
    """A running server; ``stop`` ends it, also after a kill."""

    def __init__(self, url: str, pid: int, stop: Callable[[], None]) -> None:
        self.url = url
        self.pid = pid
        self.stop = stop


def valkey9(data: Path) -> Killable:
    """The embedded server, as a team that has none of its own uses it."""
    server = EmbeddedServer.start(data)
    return Killable(server.url, server.pid, server.stop)


def redis7(data: Path) -> Killable:
    """The system's redis-server, 7.0 on Debian 12."""
    found = shutil.which("redis-server")
    assert found is not None, "redis7 is only asked for where there is one"
    data.mkdir(parents=True, exist_ok=True)
    address, log = data / "socket", data / "log"
    config = f"{_CONFIG}dir {data}\nunixsocket {address}\n"
    lock = os.open(data / "lock", os.O_CREAT | os.O_RDWR)
    try:
        process = ServerProcess(Path(found), config.encode(), log=log, lock=lock)
    finally:
        os.close(lock)
    assert process.wait_until_ready(address, timeout=30), log.read_text()
    return Killable(f"unix://{address}", process.pid, lambda: process.stop(timeout=10))


def has_redis() -> bool:
    return shutil.which("redis-server") is not None
