"""Commander processes of a test: started, killed, started again, and ended in any case."""

import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from tests.faults.commander import Orders
from tests.faults.history import History, recorded

ROOT = Path(__file__).parents[2]


class Fleet:
    """One process per slot; ``orders`` are those of the first, the others differ in their slot."""

    def __init__(self, orders: Orders) -> None:
        slots = range(orders.slots)
        self._folder = Path(orders.folder)
        self._orders = [msgspec.structs.replace(orders, slot=slot) for slot in slots]
        self._processes = [_start(orders) for orders in self._orders]
        self._read_to: dict[Path, int] = {}
        self._lines = 0

    def running(self) -> list[int]:
        """The slots whose work is not done. A process that failed fails the test."""
        codes = [process.poll() for process in self._processes]
        assert not any(codes), f"a commander process ended with {codes}"
        return [slot for slot, code in enumerate(codes) if code is None]

    def begun(self) -> list[int]:
        """The running slots whose process has sent something in this life."""
        return [slot for slot in self.running() if self._has_sent(self._orders[slot].name)]

    def _has_sent(self, name: str) -> bool:
        path = self._folder / name
        return path.exists() and path.stat().st_size > 0

    def lines(self) -> int:
        """How many lines of history all processes have written so far."""
        for path in self._folder.iterdir():
            with path.open("rb") as file:
                file.seek(self._read_to.get(path, 0))
                new = file.read()
            self._read_to[path] = self._read_to.get(path, 0) + len(new)
            self._lines += new.count(b"\n")
        return self._lines

    def kill(self, slot: int) -> None:
        """kill -9, and another process of another name in its place."""
        self._processes[slot].kill()
        self._processes[slot].wait()
        orders = self._orders[slot]
        self._orders[slot] = msgspec.structs.replace(orders, life=orders.life + 1)
        self._processes[slot] = _start(self._orders[slot])

    def history(self) -> History:
        return recorded(self._folder.iterdir())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for process in self._processes:
            process.kill()
            process.wait()


def _start(orders: Orders) -> subprocess.Popen[bytes]:
    text = msgspec.json.encode(orders).decode()
    return subprocess.Popen([sys.executable, "-m", "tests.faults.commander", text], cwd=ROOT)
