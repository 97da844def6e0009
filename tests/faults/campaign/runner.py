"""Each fault in a process of its own: it ends in time, and what it changes is gone with it."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from tests.faults.campaign.fault import Fault, Ran, Seen

ROOT = Path(__file__).parents[3]


class Runner:
    """Runs faults, several at once if it is asked to; those under way end with the block."""

    def __init__(self, part: float, seed: int) -> None:
        self._part = part
        self._seed = seed
        self._children: set[subprocess.Popen[bytes]] = set()

    def run(self, fault: Fault) -> Ran:
        """Run a fault to its end, or until its time is up."""
        began = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="whence-faults-", ignore_cleanup_errors=True) as at:
            seen = self._seen(fault, Path(at))
        return Ran(fault, judged(fault, seen), time.monotonic() - began)

    def replay(self, fault: Fault) -> str:
        """The command that runs a fault of this campaign again."""
        return f"make faults ONLY='{fault.name}' SEED={self._seed} PART={self._part:g}"

    def _seen(self, fault: Fault, folder: Path) -> Seen:
        output, result = folder / "output", folder / "result"
        seconds = fault.lasts_s * self._part
        arguments = [fault.name, str(self._part), str(self._seed), str(seconds), str(folder)]
        within = fault.within_s + seconds
        with output.open("wb") as file:
            child = subprocess.Popen(
                [sys.executable, "-m", "tests.faults.campaign.child", *arguments],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,  # so that all of its processes can be ended
            )
        self._children.add(child)
        try:
            child.wait(within)
        except subprocess.TimeoutExpired:
            return _unfinished(f"it was ended after {within:.0f} s", output)
        finally:
            _end(child)
            self._children.discard(child)
        if not result.exists():
            return _unfinished(f"its process ended with {child.returncode}", output)
        return msgspec.json.decode(result.read_bytes(), type=Seen)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for child in list(self._children):
            _end(child)


def judged(fault: Fault, seen: Seen) -> Seen:
    """A variant that is to be harmed, and is not, is a finding: its fault has not happened."""
    if fault.naive and not (seen.harmed or seen.broken or seen.skipped):
        return seen._replace(broken=("it has come to no harm, so this fault shows nothing",))
    return seen


def _end(child: "subprocess.Popen[bytes]") -> None:
    """End a process and those that it has left behind; servers of its own sessions follow it."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def _unfinished(why: str, output: Path) -> Seen:
    said = output.read_text(encoding="utf-8", errors="replace")[-4_000:]
    return Seen(0, "it could not be run to its end", (f"{why}\n{said}",))
