"""``python -m tests.faults.campaign``: every fault, and docs/reliability.md from what was seen.

``make faults`` runs it. ``--part 0.02`` tries it out; ``--only T3`` runs the faults of a name.
"""

import argparse
import random
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.faults.campaign.catalogue import FAULTS
from tests.faults.campaign.fault import Fault, Ran
from tests.faults.campaign.page import Page
from tests.faults.campaign.runner import Runner

DOCS = Path(__file__).parents[3] / "docs"


def main(arguments: Sequence[str]) -> int:
    """Exit code 1 if a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.campaign", description=__doc__)
    parser.add_argument("--part", type=float, default=1.0, help="how much of everything, up to 1")
    parser.add_argument("--only", default="", help="faults whose name has this in it")
    parser.add_argument("--seed", type=int, default=random.randrange(2**31))
    parser.add_argument("--page", type=Path, help="docs/reliability.md, if all of it is run")
    chosen = parser.parse_args(arguments)
    wanted = [fault for fault in FAULTS if chosen.only in fault.name]
    if not wanted:
        parser.error(f"no fault has {chosen.only!r} in its name")
    all_of_it = chosen.part >= 1 and not chosen.only
    target = chosen.page or (DOCS / "reliability.md" if all_of_it else None)
    page = Page(target, chosen.seed, chosen.part, len(wanted))
    # The runner ends first, and with it what the threads wait for.
    with ThreadPoolExecutor() as beside, Runner(chosen.part, chosen.seed) as runner:
        _campaign(wanted, runner, page, beside)
    if target is not None:
        page.draw()
    _say(f"{page.summary} The seed is {chosen.seed}.")
    return 1 if page.broken else 0


def _campaign(
    wanted: Sequence[Fault], runner: Runner, page: Page, beside: ThreadPoolExecutor
) -> None:
    """Begin the faults that last, run the others one by one, and wait for those that last."""
    began = time.monotonic()
    lasting = [beside.submit(runner.run, fault) for fault in wanted if fault.lasts_s]
    others = [fault for fault in wanted if not fault.lasts_s]
    for number, fault in enumerate(others, 1):
        minutes = (time.monotonic() - began) / 60
        _say(f"[{number} of {len(others)}, after {minutes:.0f} min] {fault.name}")
        _add(runner.run(fault), runner, page)
    for one in lasting:
        _add(one.result(), runner, page)


def _add(one: Ran, runner: Runner, page: Page) -> None:
    page.add(one)
    verdict = one.seen.skipped or f"{one.seen.times:,} times: {one.seen.what}"
    _say(f"    {one.fault.name}, {one.seconds:.0f} s: {verdict}")
    for evidence in one.seen.broken:
        _say(f"    BROKEN {evidence}\n    again: {runner.replay(one.fault)}")


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
