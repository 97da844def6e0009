"""What the processes of a test did, as they wrote it down: commands, their answers, and reads."""

import os
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Literal, NamedTuple, Self

import msgspec

# The answers that promise that nothing was stored.
NOTHING_STORED = frozenset({"rejected", "conflict", "unavailable"})
Outcome = Literal["ok", "rejected", "conflict", "unavailable", "unknown"]


class Sent(msgspec.Struct, frozen=True, tag="sent"):
    """A command, written down before it was sent.

    Attributes:
        number: of this line in its process; the answer has the same.
        at: nanoseconds of the machine's monotonic clock, which all its processes share.
        command: what names the command in the log; a repetition has the name of the first attempt.
        events: how many it decides if it is not refused; None when that depends on the state.
        expected: the version that the caller insisted on.
    """

    process: str
    number: int
    at: int
    stream: str
    command: str
    events: int | None = None
    expected: int | None = None

    def __str__(self) -> str:
        condition = "" if self.expected is None else f", expecting version {self.expected}"
        return (
            f"{_seconds(self.at)} process {self.process} sent {self.command} to {self.stream}"
            f"{condition}"
        )


class Answered(msgspec.Struct, frozen=True, tag="answered"):
    """The answer to a command; ``versions``, ``position`` and ``data`` are what "ok" told.

    ``data`` is the JSON of each event, ``position`` that of the last one.
    """

    process: str
    number: int
    at: int
    outcome: Outcome
    versions: tuple[int, ...] = ()
    position: int = 0
    data: tuple[str, ...] = ()

    def __str__(self) -> str:
        told: str = self.outcome
        if self.versions:
            versions = ", ".join(map(str, self.versions))
            told = f"stored as version {versions}, position {self.position}"
        elif self.outcome == "ok":
            told = "nothing decided, so nothing stored"
        return f"{_seconds(self.at)} process {self.process} was told: {told}"


class Read(msgspec.Struct, frozen=True, tag="read"):
    """A stream as somebody saw it: its version, and the digest of all its events if he had them."""

    process: str
    began: int
    ended: int
    stream: str
    version: int
    digest: int | None = None

    def __str__(self) -> str:
        began, ended = _seconds(self.began), _seconds(self.ended)
        return (
            f"{began} process {self.process} began to read {self.stream}, and saw version "
            f"{self.version} at {ended}"
        )


class Attempt(NamedTuple):
    """A command and its answer; None when the process did not live to see it."""

    sent: Sent
    answered: Answered | None

    @property
    def outcome(self) -> Outcome:
        return "unknown" if self.answered is None else self.answered.outcome

    def lines(self) -> list[str]:
        untold = f"process {self.sent.process} was never told what became of it"
        return [str(self.sent), untold if self.answered is None else str(self.answered)]


class History(NamedTuple):
    """All that happened, of all processes; the order of the lists means nothing."""

    attempts: list[Attempt]
    reads: list[Read]


_Line = Sent | Answered | Read
_decoder = msgspec.json.Decoder(_Line)


def _seconds(nanoseconds: int) -> str:
    return f"[{nanoseconds / 1e9:.6f} s]"


class Recorder:
    """Appends a process's part of the history to a file of its own.

    Each line is in the file before the call returns, so what a process was killed in the middle of
    is there as sent and not answered.
    """

    def __init__(self, path: Path, process: str) -> None:
        self.process = process
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._number = 0

    def sent(
        self,
        stream: str,
        command: str,
        *,
        events: int | None = None,
        expected: int | None = None,
    ) -> int:
        """Write down a command that is about to be sent; returns its number."""
        self._number += 1
        at = time.monotonic_ns()
        self._write(Sent(self.process, self._number, at, stream, command, events, expected))
        return self._number

    def answered(
        self,
        number: int,
        outcome: Outcome,
        versions: Sequence[int] = (),
        position: int = 0,
        data: Sequence[str] = (),
    ) -> None:
        at = time.monotonic_ns()
        told = (tuple(versions), position, tuple(data))
        self._write(Answered(self.process, number, at, outcome, *told))

    def read(self, began: int, stream: str, version: int, digest: int | None = None) -> None:
        """Write down a read that began at ``began`` (``time.monotonic_ns``) and is done now."""
        now = time.monotonic_ns()
        self._write(Read(self.process, began, now, stream, version, digest))

    def _write(self, line: _Line) -> None:
        os.write(self._file, msgspec.json.encode(line) + b"\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        os.close(self._file)


class MemoryRecorder(Recorder):
    """Keeps the history of a process that is simulated in this one."""

    def __init__(self, process: str) -> None:
        self.process = process
        self._number = 0
        self._lines: list[_Line] = []

    def _write(self, line: _Line) -> None:
        self._lines.append(line)

    def history(self) -> History:
        history = History([], [])
        _collect(history, self._lines)
        return history


def recorded(paths: Iterable[Path]) -> History:
    """The history in the files of recorders; processes may still be writing.

    A last line that was cut off counts as not written: a command in it was not sent, and an answer
    in it was not seen.
    """
    history = History([], [])
    for path in paths:
        _collect(history, map(_decoder.decode, path.read_bytes().split(b"\n")[:-1]))
    return history


def _collect(history: History, lines: Iterable[_Line]) -> None:
    open_: dict[tuple[str, int], Sent] = {}
    for line in lines:
        if isinstance(line, Sent):
            open_[line.process, line.number] = line
        elif isinstance(line, Answered):
            history.attempts.append(Attempt(open_.pop((line.process, line.number)), line))
        else:
            history.reads.append(line)
    history.attempts.extend(Attempt(sent, None) for sent in open_.values())
