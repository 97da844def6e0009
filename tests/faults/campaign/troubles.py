"""T4, T8: disks that are full or fail, and memory that has come to its end."""

import asyncio
import contextlib
import os
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from redis import Redis

from tests.faults.campaign.fault import Fault, Scale, Seen, skipped
from tests.faults.campaign.servers import Killable, valkey9
from tests.faults.campaign.syncs import NO_COMPILER, sync_as_usual, syncing
from tests.faults.checker import check
from tests.faults.commander import Commander, Work
from tests.faults.domain import model
from tests.faults.history import Recorder, recorded
from tests.faults.killing import AGGREGATES, commanding, done_reaches
from tests.faults.log import log_of
from tests.faults.violation import report
from whence import Runtime, open_store
from whence.store.errors import ServerRefused

COMMANDS = 300
# Seconds in which the trouble has to show.
SHOWS_WITHIN = 60

Trouble = Callable[[Killable], None]
Heal = Callable[[Killable], Killable]


class Refusable(Commander):
    """A server without memory or disk refuses, and says that it has stored nothing."""

    expected = (*Commander.expected, ServerRefused)


async def _through(
    scale: Scale, data: Path, trouble: Trouble, heal: Heal, shows: Callable[[Killable, Path], bool]
) -> Seen:
    """Commands before, during and after a trouble, and the check of all of them."""
    path = scale.folder / "history"
    server = await asyncio.to_thread(valkey9, data)
    more = scale.of(COMMANDS, 50)
    try:
        with Recorder(path, "1") as recorder:
            async with open_store(server.url) as store, Runtime(store, model) as runtime:
                commander = Refusable(runtime, recorder, Work(scale.seed, AGGREGATES))
                async with commanding(commander) as work:
                    await done_reaches(commander, more, work)
                    await asyncio.to_thread(trouble, server)
                    give_up = time.monotonic() + SHOWS_WITHIN
                    while not shows(server, path):
                        if time.monotonic() > give_up:
                            return Seen(0, "", ("the trouble did not show",))
                        await asyncio.sleep(0.05)
                    server = await asyncio.to_thread(heal, server)
                    await done_reaches(commander, commander.done + more, work)
                violations = check(recorded([path]), await log_of(store))
    finally:
        await asyncio.to_thread(server.stop)
    outcomes = Counter(attempt.outcome for attempt in recorded([path]).attempts)
    counts = ", ".join(f"{number:,} {name}" for name, number in sorted(outcomes.items()))
    return Seen(
        1, f"{counts}; {len(violations)} violations", (report(violations),) if violations else ()
    )


def _refused(_: Killable, path: Path) -> bool:
    """Some commands were refused, so that nothing of them is stored."""
    return path.read_bytes().count(b'"unavailable"') > 20


def _ended(server: Killable, _: Path) -> bool:
    with Redis.from_url(server.url, protocol=2, retry=None) as client:  # pyright: ignore[reportUnknownMemberType]
        try:
            client.ping()  # pyright: ignore[reportUnknownMemberType]
        except Exception:  # whatever it says, it does not answer
            return True
    return False


def out_of_memory(scale: Scale) -> Seen:
    """maxmemory is reached, and raised again."""
    return asyncio.run(
        _through(
            scale,
            scale.folder / "data",
            lambda server: _set(server, "maxmemory", "1"),
            lambda server: _healed(server, "maxmemory", "0"),
            _refused,
        )
    )


def _set(server: Killable, name: str, value: str) -> None:
    with Redis.from_url(server.url, protocol=2) as client:  # pyright: ignore[reportUnknownMemberType]
        client.config_set(name, value)  # pyright: ignore[reportUnknownMemberType]


def _healed(server: Killable, name: str, value: str) -> Killable:
    _set(server, name, value)
    return server


def full_disk(scale: Scale) -> Seen:
    """The disk is full, and then larger."""
    data = scale.folder / "disk"
    data.mkdir()
    if shutil.which("mount") is None or os.geteuid() != 0 or not _mounted(data, "4m"):
        return skipped("a small file system cannot be mounted here")

    def fill(_: Killable) -> None:
        with (data / "filler").open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(b"0" * 4096)

    def enlarge(server: Killable) -> Killable:
        server.stop()
        (data / "filler").unlink()
        _run("mount", "-o", "remount,size=64m", str(data))
        return valkey9(data / "data")

    try:
        return asyncio.run(_through(scale, data / "data", fill, enlarge, _ended))
    finally:
        _run("umount", "-l", str(data))


def _mounted(folder: Path, size: str) -> bool:
    return _run("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder))


def _run(*command: str) -> bool:
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


def failing_sync(scale: Scale) -> Seen:
    """fdatasync fails; the server ends, and is started on a disk that works."""
    with syncing(scale.folder, "fail") as built:
        if not built:
            return skipped(NO_COMPILER)
        data = scale.folder / "data"

        def restart(server: Killable) -> Killable:
            server.stop()
            sync_as_usual()
            return valkey9(data)

        return asyncio.run(_through(scale, data, lambda _: None, restart, _ended))


def slow_sync(scale: Scale) -> Seen:
    """Each fdatasync takes 20 ms more, and the server is killed in the middle."""
    with syncing(scale.folder, "slow") as built:
        if not built:
            return skipped(NO_COMPILER)
        data = scale.folder / "data"

        def kill(server: Killable) -> None:
            os.kill(server.pid, 9)

        def restart(server: Killable) -> Killable:
            server.stop()
            return valkey9(data)

        return asyncio.run(_through(scale, data, kill, restart, _ended))


_PROMISED = "What was acknowledged is there, what was refused has left nothing, and work goes on."

FAULTS = (
    Fault(
        "T8 out of memory",
        "maxmemory is set below what is used, under load, and lifted again.",
        _PROMISED,
        "That commands are taken meanwhile: they are refused.",
        out_of_memory,
    ),
    Fault(
        "T4 full disk",
        "The file system of the data directory is filled under load; the server ends, the file "
        "system is enlarged, the server is started again.",
        _PROMISED,
        "That the server stays up: with appendfsync always it ends rather than lie.",
        full_disk,
    ),
    Fault(
        "T4 failing sync",
        "fdatasync fails from its 100th call on; the server ends and is started on a disk that "
        "works.",
        _PROMISED,
        "Disks that say that they have synced and have not.",
        failing_sync,
    ),
    Fault(
        "T4 slow sync and a kill",
        "Every fdatasync takes 20 ms; the server is killed under load and started again.",
        _PROMISED,
        "Speed.",
        slow_sync,
    ),
)
