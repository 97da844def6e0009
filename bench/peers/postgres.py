"""A PostgreSQL of one's own, in a folder of its own, for as long as a block lasts."""

import os
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from bench.peers.peer import NotHere

USER = "bench"
# Seconds to wait for its first answer, and for its end.
PATIENCE = 30.0


@contextmanager
def postgres(folder: Path) -> Generator[dict[str, str]]:
    """Yields the environment by which ``eventsourcing`` finds the server.

    fsync and synchronous_commit are on, as by default: a commit is on disk before it is
    acknowledged. The server listens on a unix socket only.

    Raises:
        NotHere: PostgreSQL is not installed, or does not start.
    """
    programs = _programs()
    data = folder / "data"
    data.mkdir()
    if os.geteuid() == 0:  # the server refuses to run as root
        for path in (folder, data):
            shutil.chown(path, "nobody")
    _initialise(str(programs / "initdb"), data)
    command = [str(programs / "postgres"), "-D", str(data), "-k", str(folder)]
    with (folder / "log").open("wb") as log:
        server = _start([*command, "-c", "listen_addresses="], data, log.fileno())
    try:
        _await(str(programs / "pg_isready"), folder, server)
        yield {
            "PERSISTENCE_MODULE": "eventsourcing.postgres",
            "POSTGRES_DBNAME": "postgres",
            "POSTGRES_HOST": str(folder),
            "POSTGRES_USER": USER,
            "POSTGRES_PASSWORD": "trusted",
            "POSTGRES_POOL_SIZE": "8",
        }
    finally:
        server.send_signal(signal.SIGINT)  # ends its sessions as well
        server.wait(PATIENCE)


def _programs() -> Path:
    """The folder of the newest PostgreSQL on this machine; Debian keeps it off the PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=_release)
    on_path = shutil.which("initdb")
    if on_path is not None:
        found.append(Path(on_path).resolve().parent)
    if not found:
        raise NotHere("PostgreSQL is not installed (on Debian: apt-get install postgresql)")
    return found[-1]


def _release(programs: Path) -> int:
    name = programs.parent.name
    return int(name) if name.isdecimal() else 0


def _initialise(initdb: str, data: Path) -> None:
    command = [initdb, "-D", str(data), "-U", USER, "-A", "trust", "-E", "UTF8", "--no-locale"]
    log = data.parent / "initdb.log"
    with log.open("wb") as output:
        code = _start(command, data, output.fileno()).wait(PATIENCE)
    if code:
        raise NotHere(f"initdb failed: {log.read_text().strip()}")


def _start(command: list[str], folder: Path, log: int) -> "subprocess.Popen[bytes]":
    if os.geteuid() != 0:
        return subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
    nobody = pwd.getpwnam("nobody")
    return subprocess.Popen(
        command,
        cwd=folder,
        stdout=log,
        stderr=log,
        user=nobody.pw_uid,
        group=nobody.pw_gid,
        extra_groups=[],
    )


def _await(pg_isready: str, folder: Path, server: "subprocess.Popen[bytes]") -> None:
    give_up = time.monotonic() + PATIENCE
    while subprocess.run([pg_isready, "-q", "-h", str(folder)], check=False).returncode:
        if server.poll() is not None or time.monotonic() > give_up:
            raise NotHere(f"PostgreSQL did not start: {(folder / 'log').read_text()[-500:]}")
        time.sleep(0.05)
