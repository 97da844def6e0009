"""The directory of an embedded server: whether it may be opened, and who has it open.

``whence.lock`` in it is locked with flock for as long as the server lives, and says who that is. It
is never deleted: a lock on a deleted file excludes nobody.
"""

import fcntl
import os
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from whence.store.errors import (
    DataDirectoryInUse,
    DataDirectoryUnsafe,
    EmbeddedServerError,
    InvalidSetting,
)

__all__ = [
    "Owner",
    "last_socket",
    "locked",
    "opened",
    "record",
    "refuse_headless_log",
    "refuse_snapshot",
    "socket_path",
]

_LOCK = "whence.lock"
_SOCKET = "whence.sock"
_LOG_DIRECTORY = "appendonlydir"
_MANIFEST = "appendonly.aof.manifest"
_RECORD_MAX_BYTES = 4096
# sun_path holds 108 bytes on Linux and 104 on macOS, with the closing NUL.
_SOCKET_MAX_BYTES = 103
# How long a server may take to end after the process that started it: it syncs its log first.
_PATIENCE_S = 10.0
_PAUSE_S = 0.05


class Owner(msgspec.Struct, frozen=True):
    """What the lock file says: the process that started the server, the server, its socket.

    ``server`` is None until the server process exists. ``socket`` is relative to the directory, or
    absolute when the directory's path is too long for a socket.
    """

    starter: int
    socket: str
    server: int | None = None


def opened(data: Path | str) -> Path:
    """The absolute path of the directory, created with mode 0700 if it did not exist.

    Raises InvalidSetting when it is no directory, or cannot be created or written.
    """
    path = Path(data).resolve()
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise _unusable(path, "it, or a part of its path, is a file") from error
    except OSError as error:
        raise _unusable(path, f"it cannot be created ({error.strerror})") from error
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        raise _unusable(path, "this user may not read and write it")
    return path


def refuse_snapshot(data: Path) -> None:
    """Raise DataDirectoryUnsafe when the directory holds an RDB file and no append only file.

    With ``appendonly yes`` a server reads no RDB file: it would start EMPTY, without a word.
    """
    snapshots = sorted(file.name for file in data.glob("*.rdb"))
    has_log = (data / _LOG_DIRECTORY / _MANIFEST).exists() or (data / "appendonly.aof").exists()
    if snapshots and not has_log:
        raise DataDirectoryUnsafe(
            data,
            f"it has an RDB file ({snapshots[0]}) and no append only file, so the server would "
            "ignore it and start empty",
            "start a server of your own on it with `appendonly no`, run `CONFIG SET appendonly "
            "yes`, wait until INFO shows aof_rewrite_in_progress:0, and stop it; or choose another "
            "directory",
        )


def refuse_headless_log(data: Path) -> None:
    """Raise DataDirectoryUnsafe when append only files are there, but not their manifest.

    The server would start EMPTY and write its new files over those. Call it with the lock held: a
    server that starts for the first time is in this state for a moment.
    """
    log = data / _LOG_DIRECTORY
    if not log.is_dir() or (log / _MANIFEST).exists():
        return
    files = sorted(
        file.name
        for file in log.iterdir()
        if not file.name.startswith("temp-") and file.stat().st_size
    )
    if files:
        raise DataDirectoryUnsafe(
            data,
            f"{_LOG_DIRECTORY} holds {', '.join(files)} but no {_MANIFEST}, so the server would "
            "start empty and overwrite them",
            f"restore {_MANIFEST} from a backup, or delete {log} if it never held events",
        )


@contextmanager
def locked(data: Path) -> Generator[int]:
    """Hold the directory's lock; yields its file descriptor, for the server to inherit.

    A process that inherits the descriptor holds the lock on, until it ends. Waits up to 10 seconds
    for a server that is ending because its starter has ended. Raises DataDirectoryInUse otherwise,
    InvalidSetting when the lock file cannot be opened or locked.
    """
    try:
        lock = os.open(data / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _unusable(data, f"{_LOCK} cannot be written in it ({error.strerror})") from error
    try:
        _take(lock, data)
        yield lock
    finally:
        os.close(lock)


def _take(lock: int, data: Path) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while not _try_lock(lock, data):
        owner = _read(lock)
        # No owner to read: it has just taken the lock, and is about to write who it is.
        if owner is not None and _starter_lives(owner):
            raise DataDirectoryInUse(data, owner.starter)
        if time.monotonic() > deadline:
            raise DataDirectoryInUse(data, owner.server if owner else None)
        time.sleep(_PAUSE_S)


def _try_lock(lock: int, data: Path) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        reason = f"its file system cannot lock files ({error.strerror})"
        raise _unusable(data, reason) from error
    return True


def _starter_lives(owner: Owner) -> bool:
    if owner.server is not None and sys.platform == "linux":
        # Not kill(starter, 0): that also finds a zombie, and a stranger with the same number.
        return _parent_of(owner.server) == owner.starter
    return _exists(owner.starter)


def _parent_of(pid: int) -> int | None:
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # "pid (name) state parent ...", and the name may hold spaces and brackets.
    return int(status.rpartition(")")[2].split()[1])


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def record(lock: int, owner: Owner) -> None:
    """Write who holds the lock into the locked file. Raises EmbeddedServerError on a full disk."""
    text = msgspec.json.encode(owner)
    try:
        os.pwrite(lock, text, 0)
        os.ftruncate(lock, len(text))
    except OSError as error:
        raise EmbeddedServerError(f"{_LOCK} cannot be written: {error.strerror}") from error


def last_socket(data: Path) -> Path | None:
    """The socket of the server that had the directory last, or None. It may no longer run."""
    try:
        lock = os.open(data / _LOCK, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        owner = _read(lock)
        # In a copy of a directory the record is about the server of the original.
        if owner is None or Path(owner.socket).name not in (_SOCKET, _short_name(lock)):
            return None
        return data / owner.socket
    finally:
        os.close(lock)


def _read(lock: int) -> Owner | None:
    try:
        return msgspec.json.decode(os.pread(lock, _RECORD_MAX_BYTES, 0), type=Owner)
    except msgspec.DecodeError:
        return None


def socket_path(data: Path, lock: int) -> Path:
    """Where the server's socket goes: into the directory, or where a long path does not fit, into
    a directory of this user in the temporary directory.

    Raises EmbeddedServerError when that one is not private, or too long as well.
    """
    path = data / _SOCKET
    if _fits(path):
        return path
    short = _private_directory() / _short_name(lock)
    if not _fits(short):
        raise EmbeddedServerError(
            f"{short} is too long for a socket: set TMPDIR to a directory with a shorter path"
        )
    return short


def _fits(path: Path) -> bool:
    # Bytes that are not UTF-8 are not printable, and would not survive being put into a URL.
    return len(os.fsencode(path)) <= _SOCKET_MAX_BYTES and str(path).isprintable()


def _short_name(lock: int) -> str:
    """A name that belongs to this lock file alone, and moves along when the directory is moved."""
    status = os.fstat(lock)
    return f"{status.st_dev:x}-{status.st_ino:x}.sock"


def _private_directory() -> Path:
    user = os.geteuid()
    path = Path(tempfile.gettempdir()).resolve() / f"whence-{user}"
    path.mkdir(mode=0o700, exist_ok=True)
    status = path.lstat()
    if path.is_symlink() or not path.is_dir() or status.st_uid != user or status.st_mode & 0o077:
        raise EmbeddedServerError(
            f"{path} is not a directory that only this user can enter: remove it, or set TMPDIR "
            "to a directory of your own"
        )
    return path


def _unusable(path: Path, reason: str) -> InvalidSetting:
    return InvalidSetting(f"{path} cannot be a data directory: {reason}", field="data")
