"""docs/reliability.md while a campaign runs."""

import os
import time
from collections.abc import Sequence
from pathlib import Path

from tests.faults.campaign.fault import Ran
from tests.faults.campaign.pictures import drawn
from tests.faults.campaign.report import report


class Page:
    """The report, written anew after each fault: one that was stopped has what was seen till then.

    Args:
        target: where to write it; None for nowhere.
        left: how many faults are to come.
    """

    def __init__(self, target: Path | None, seed: int, part: float, left: int) -> None:
        self._target = target
        self._seed = seed
        self._part = part
        self._left = left
        self._ran: list[Ran] = []
        self._load_before = os.getloadavg()[0]
        self._began = time.monotonic()

    @property
    def broken(self) -> int:
        """How many promises were broken so far."""
        return sum(len(one.seen.broken) for one in self._ran)

    @property
    def summary(self) -> str:
        """One sentence or two: how much was done, and what has come of it."""
        minutes = (time.monotonic() - self._began) / 60
        left = f", {self._left} are still to come" if self._left else ""
        skipped = sum(bool(one.seen.skipped) for one in self._ran)
        not_here = f" ({skipped} skipped)" if skipped else ""
        return (
            f"{len(self._ran)} faults{not_here} in {minutes:.0f} minutes{left}. "
            f"Broken promises: {self.broken}."
        )

    def add(self, one: Ran) -> None:
        self._ran.append(one)
        self._left -= 1
        self._write([])

    def draw(self) -> None:
        """Add the pictures."""
        if self._target is not None:
            self._write(drawn(self._target.parent / "pictures"))

    def _write(self, pictures: Sequence[str]) -> None:
        if self._target is None:
            return
        load = (
            f"{os.cpu_count()} cores, with a load of {self._load_before:.1f} before and "
            f"{os.getloadavg()[0]:.1f} after it."
        )
        head = f"Seed {self._seed}, scale {self._part:g}: {self.summary}"
        text = report(self._ran, head=head, load=load, pictures=pictures)
        self._target.write_text(text, encoding="utf-8")
