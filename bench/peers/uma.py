"""A UmaDB server of one's own, in a folder of its own, for as long as a block lasts."""

import socket
import subprocess
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from bench.peers.peer import NotHere, program

# Seconds to wait until it listens.
PATIENCE = 30.0


@contextmanager
def uma(folder: Path) -> Generator[str]:
    """Yields its URL. It writes as by default, "synchronously": on disk before it acknowledges.

    Raises:
        NotHere: it is not installed, or does not start.
    """
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
    command = [str(program("umadb")), "--listen", address, "--db-path", str(folder / "uma.db")]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        _await(address, server)
        yield f"http://{address}"
    finally:
        server.terminate()
        server.wait(PATIENCE)


def _await(address: str, server: "subprocess.Popen[bytes]") -> None:
    host, _, port = address.partition(":")
    give_up = time.monotonic() + PATIENCE
    while time.monotonic() < give_up and server.poll() is None:
        with suppress(OSError), socket.create_connection((host, int(port)), timeout=1):
            return
        time.sleep(0.05)
    raise NotHere("the UmaDB server did not start")
