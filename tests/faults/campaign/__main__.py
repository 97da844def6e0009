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
from tests.faults.campaign.report import Ran, report

PAGE = Path(__file__).parents[3] / "docs" / "reliability.md"
FAULTS: tuple[Fault, ...] = (
    kills.VALKEY,
    kills.REDIS,
    power.FAULT,
    *troubles.FAULTS,
    partition.FAULT,
    differential.FAULT,
    *suites.FAULTS,
    *naive.FAULTS,
    seeds.FAULT,
)


def main(arguments: Sequence[str]) -> int:
    """Exit code 1 if a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.campaign", description=__doc__)
    parser.add_argument("--part", type=float, default=1.0, help="how much of everything, up to 1")
    parser.add_argument("--only", default="", help="faults whose name has this in it")
    parser.add_argument("--seed", type=int, default=random.randrange(2**31))
    parser.add_argument("--page", type=Path, default=PAGE)
    chosen = parser.parse_args(arguments)
    logging.disable(logging.CRITICAL)  # what the faults make the libraries say
    before = os.getloadavg()[0]
    chosen_faults = [fault for fault in FAULTS if chosen.only in fault.name]
    with ThreadPoolExecutor(1) as beside:
        soaking = (
            beside.submit(_ran, soak.FAULT, chosen.part, chosen.seed)
            if chosen.only in soak.FAULT.name
            else None
        )
        ran = [_ran(fault, chosen.part, chosen.seed) for fault in chosen_faults]
        if soaking is not None:
            ran.append(soaking.result())
    load = (
        f"{os.cpu_count()} cores, with a load of {before:.1f} before and {os.getloadavg()[0]:.1f} "
        "after it."
    )
    page = report(ran, seed=chosen.seed, part=chosen.part, load=load, pictures="")
    chosen.page.write_text(page, encoding="utf-8")
    return 1 if any(one.seen.broken for one in ran) else 0


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
