"""The command ``whence`` as a process: started, waited for, and surely ended."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Self

import msgspec

from whence.store.data_directory import Owner

PROJECT = Path(__file__).resolve().parents[2]
ORDERS = "examples.orders:domain"
PATIENCE = 30.0


def eventually(condition: Callable[[], object], what: str) -> None:
    """Wait until a condition holds."""
    give_up = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < give_up, f"{what} did not come true in {PATIENCE} s"
        time.sleep(0.02)


def alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def environment(**more: str) -> dict[str, str]:
    """The environment of a person who has set nothing but ``more``."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("WHENCE_") and name != "PORT"
    }
    return inherited | {"PYTHONPATH": str(PROJECT)} | more


def whence(
    *arguments: str | Path, cwd: Path, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        _command(arguments),
        cwd=cwd,
        env=environment(**(env or {})),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def _command(arguments: tuple[str | Path, ...]) -> list[str]:
    return [sys.executable, "-m", "whence", *map(str, arguments)]


class Program:
    """A command that runs until it is told to end. It is killed at the end of the context."""

    def __init__(
        self, *arguments: str | Path, cwd: Path, env: Mapping[str, str] | None = None
    ) -> None:
        name = f"{arguments[0]}-{time.monotonic_ns()}"
        self._out = cwd / f"{name}.out"
        self._err = cwd / f"{name}.err"
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self._process = subprocess.Popen(
                _command(arguments),
                cwd=cwd,
                env=environment(**(env or {})),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def stdout(self) -> str:
        return self._out.read_text(encoding="utf-8")

    @property
    def stderr(self) -> str:
        return self._err.read_text(encoding="utf-8")

    def until_says(self, words: str) -> Self:
        """Wait until it has printed the words."""

        def said() -> bool:
            assert self._process.poll() is None, f"it ended:\n{self.stdout}{self.stderr}"
            return words in self.stdout

        eventually(said, repr(words))
        return self

    @property
    def base(self) -> str:
        """The address it says it serves at."""
        self.until_says("http://")
        return next(word for word in self.stdout.split() if word.startswith("http://"))

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def end(self, number: signal.Signals = signal.SIGINT) -> int:
        """Tell it to end; returns its exit code."""
        self.send(number)
        return self.ended()

    def ended(self) -> int:
        """Its exit code, as soon as it has ended."""
        return self._process.wait(PATIENCE)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()


def server_pid(data: Path) -> int:
    """The process id of the embedded server that was last started on a data directory."""
    owner = msgspec.json.decode((data / "whence.lock").read_bytes(), type=Owner)
    assert owner.server is not None
    return owner.server
