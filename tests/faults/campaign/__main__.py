"""``python -m tests.faults.campaign``: every fault, and docs/reliability.md from what was seen.

``make faults`` runs it. ``--part 0.02`` tries it out; ``--only T3`` runs the faults of a name.
"""

import argparse
import logging
import os
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.faults.campaign import (
    differential,
    kills,
    naive,
    partition,
    power,
    seeds,
    soak,
    suites,
    troubles,
)
from tests.faults.campaign.fault import Fault, Scale, Seen
from tests.faults.campaign.pictures import draw
from tests.faults.campaign.report import Ran, report

PAGE = Path(__file__).parents[3] / "docs" / "reliability.md"
FAULTS: tuple[Fault, ...] = (
    kills.VALKEY,
    kills.REDIS,
    power.FAULT,
    *troubles.FAULTS,
    partition.FAULT,
    differential.FAULT,
    *naive.FAULTS,
    seeds.FAULT,
    *suites.FAULTS,
)


def main(arguments: Sequence[str]) -> int:
    """Exit code 1 if a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.campaign", description=__doc__)
    parser.add_argument("--part", type=float, default=1.0, help="how much of everything, up to 1")
    parser.add_argument("--only", default="", help="faults whose name has this in it")
    parser.add_argument("--seed", type=int, default=random.randrange(2**31))
    parser.add_argument("--page", type=Path, help="docs/reliability.md, if every fault is run")
    chosen = parser.parse_args(arguments)
    logging.disable(logging.CRITICAL)  # what the faults make the libraries say
    wanted = [fault for fault in FAULTS if chosen.only in fault.name]
    page = _Page(chosen.page or (None if chosen.only else PAGE), chosen.seed, chosen.part)
    with ThreadPoolExecutor(1) as beside:
        soaking = (
            beside.submit(_ran, soak.FAULT, chosen.part, chosen.seed)
            if chosen.only in soak.FAULT.name
            else None
        )
        page.left = len(wanted) + (soaking is not None)
        for fault in wanted:
            page.add(_ran(fault, chosen.part, chosen.seed))
        if soaking is not None:
            page.add(soaking.result())
    if not chosen.only:
        page.draw()
    return 1 if page.broken else 0


class _Page:
    """The report, written anew after each fault: one that was stopped has what was seen till then.

    ``left`` is how many faults are still to come.
    """

    def __init__(self, target: Path | None, seed: int, part: float) -> None:
        self.left = 0
        self._target = target
        self._seed = seed
        self._part = part
        self._ran: list[Ran] = []
        self._load_before = os.getloadavg()[0]

    @property
    def broken(self) -> bool:
        return any(one.seen.broken for one in self._ran)

    def add(self, one: Ran) -> None:
        self._ran.append(one)
        self.left -= 1
        self._write([])

    def draw(self) -> None:
        """Add the pictures."""
        if self._target is not None:
            self._write(draw(self._target.parent / "pictures"))

    def _write(self, pictures: Sequence[str]) -> None:
        load = (
            f"{os.cpu_count()} cores, with a load of {self._load_before:.1f} before and "
            f"{os.getloadavg()[0]:.1f} after it."
        )
        text = report(
            self._ran,
            seed=self._seed,
            part=self._part,
            left=self.left,
            load=load,
            pictures=pictures,
        )
        if self._target is not None:
            self._target.write_text(text, encoding="utf-8")


def _ran(fault: Fault, part: float, seed: int) -> Ran:
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="whence-faults-") as folder:
        try:
            seen = fault.run(Scale(part, seed, Path(folder)))
        except Exception as error:  # the others still run
            seen = Seen(0, "it could not be run to its end", (f"{type(error).__name__}: {error}",))
    seconds = time.monotonic() - began
    verdict = seen.skipped or f"{seen.times:,} times: {seen.what}"
    sys.stdout.write(f"{fault.name} ({seconds:.0f} s): {verdict}\n")
    for evidence in seen.broken:
        sys.stdout.write(f"BROKEN {evidence}\n")
    sys.stdout.flush()
    return Ran(fault, seen, seconds)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
