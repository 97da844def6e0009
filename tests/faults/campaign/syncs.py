"""Servers whose syncs fail, are slow, or are written down: LD_PRELOAD in front of fdatasync."""

import contextlib
import os
import shutil
import struct
import subprocess
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

# From the 100th call on it fails, or each takes 20 ms, or each that was completed is noted: when it
# was, on the clock of time.monotonic_ns(), of which file, and how long that was when it began.
_SOURCE = """\
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
static int calls;
static int synced(int fd) { return syscall(SYS_fdatasync, fd); }
static int recorded(int fd, const char *path) {
  struct stat file;
  struct timespec now;
  if (fstat(fd, &file) != 0) return synced(fd);
  int result = synced(fd);
  if (result != 0) return result;
  clock_gettime(CLOCK_MONOTONIC, &now);
  int64_t note[3] = { now.tv_sec * 1000000000LL + now.tv_nsec, file.st_ino, file.st_size };
  int notes = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (notes < 0 || write(notes, note, sizeof note) != sizeof note) abort();
  close(notes);
  return 0;
}
int fdatasync(int fd) {
  const char *how = getenv("WHENCE_TEST_SYNC");
  if (how == NULL) return synced(fd);
  if (how[0] == '/') return recorded(fd, how);
  if (how[0] == 's') usleep(20000);
  if (how[0] == 'f' && ++calls > 100) { errno = EIO; return -1; }
  return synced(fd);
}
"""
_HOW = "WHENCE_TEST_SYNC"
_NOTE = struct.Struct("=3q")
NO_COMPILER = "there is no C compiler to build what replaces fdatasync"


class Synced(NamedTuple):
    """A sync that was completed ``at`` nanoseconds; the first ``size`` bytes are on the disk."""

    at: int
    size: int


@contextlib.contextmanager
def syncing(folder: Path, how: Literal["fail", "slow"] | Path) -> Generator[bool]:
    """Servers that are started within the block sync like this; False where that cannot be built.

    With a path each completed sync is noted in that file, for ``syncs_of``.
    """
    source, library = folder / "sync.c", folder / "sync.so"
    source.write_text(_SOURCE, encoding="utf-8")
    compiler = shutil.which("gcc") or shutil.which("cc")
    built = compiler is not None and _run(
        compiler, "-shared", "-fPIC", "-o", str(library), str(source)
    )
    if not built:
        yield False
        return
    os.environ["LD_PRELOAD"], os.environ[_HOW] = str(library), str(how)
    try:
        yield True
    finally:
        sync_as_usual()


def sync_as_usual() -> None:
    """Servers that are started from here on have the system's own syncs."""
    os.environ.pop("LD_PRELOAD", None)
    os.environ.pop(_HOW, None)


def syncs_of(log: Path, notes: Path) -> list[Synced]:
    """The completed syncs of a log file, in order, from what was noted."""
    inode = log.stat().st_ino
    found = _NOTE.iter_unpack(notes.read_bytes())
    return [Synced(at, size) for at, file, size in found if file == inode]


def synced_by(moment: int, syncs: Sequence[Synced]) -> int:
    """How many bytes a power loss at that moment leaves for sure, in nanoseconds as above."""
    return max((sync.size for sync in syncs if sync.at <= moment), default=0)


def log_file(data: Path) -> Path:
    """The log that a server on this directory appends to."""
    (found,) = (data / "appendonlydir").glob("*.incr.aof")
    return found


def cut_copy(data: Path, size: int, target: Path) -> Path:
    """A copy of a data directory whose log has so many bytes."""
    shutil.copytree(data, target, ignore=shutil.ignore_patterns("*.sock", "*lock*"))
    os.truncate(log_file(target), size)
    return target


def _run(*command: str) -> bool:
    return subprocess.run(command, check=False, capture_output=True).returncode == 0
