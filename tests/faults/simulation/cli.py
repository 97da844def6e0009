"""The command that runs simulations: one again, or many beside each other."""

import argparse
import multiprocessing
import sys
import time
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from tests.faults.simulation.plan import Plan, plan_of
from tests.faults.simulation.shrink import shrunk
from tests.faults.simulation.world import Verdict, simulate

COMMAND = "python -m tests.faults.simulation"
# Seeds that a process takes at a time.
PIECE = 25


class Tally(NamedTuple):
    """What many seeds have come to; ``wrong`` are those that found something."""

    seeds: int
    commands: int
    events: int
    seconds: float
    faults: Counter[str]
    wrong: list[int]


def main(arguments: Sequence[str]) -> int:
    """Exit code 1 if a promise was broken."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("--seed", type=int, help="run this one again, and shrink what it finds")
    parser.add_argument("--plan", help="run a plan that was printed as JSON")
    parser.add_argument("--seeds", type=int, help="run so many, from --first on")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--processes", type=int, default=multiprocessing.cpu_count())
    parser.add_argument("--within", type=float, help="begin no more seeds after so many seconds")
    chosen = parser.parse_args(arguments)
    if chosen.seeds is not None:
        found = run_seeds(chosen.first, chosen.seeds, chosen.processes, chosen.within)
        _say(shown(found))
        for seed in found.wrong:
            _say(f"seed {seed}: {COMMAND} --seed {seed}")
        return 1 if found.wrong else 0
    if chosen.plan is None:
        return _again(plan_of(chosen.seed or 0))
    try:
        plan = msgspec.json.decode(chosen.plan, type=Plan)
    except msgspec.MsgspecError as error:
        parser.error(f"this is no plan: {error}")
    return _again(plan)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def _again(plan: Plan) -> int:
    verdict = simulate(plan)
    if not verdict.wrong:
        _say(f"nothing is wrong: {plan}\n{verdict}")
        return 0
    _say(report(plan, verdict))
    return 1


def report(plan: Plan, verdict: Verdict) -> str:
    """What went wrong, in the smallest simulation that shows it, and how to run that again."""
    small = shrunk(plan, verdict.kinds)
    found = simulate(small)
    text = msgspec.json.encode(small).decode()
    return "\n".join(
        [
            f"seed {plan.chance}: {COMMAND} --seed {plan.chance}",
            f"shrunk to: {COMMAND} --plan '{text}'",
            *found.wrong,
        ]
    )


def run_seeds(first: int, count: int, processes: int, within: float | None = None) -> Tally:
    """Simulate the seeds from ``first`` on, in so many processes."""
    give_up = None if within is None else time.monotonic() + within
    pieces = [range(n, min(n + PIECE, first + count)) for n in range(first, first + count, PIECE)]
    total = Tally(0, 0, 0, 0.0, Counter(), [])
    with multiprocessing.get_context("spawn").Pool(processes, maxtasksperchild=200) as pool:
        for piece in pool.imap_unordered(_piece, pieces):
            total = _sum(total, piece)
            if give_up is not None and time.monotonic() > give_up:
                pool.terminate()
                break
    return total


def _piece(seeds: range) -> Tally:
    total = Tally(0, 0, 0, 0.0, Counter(), [])
    for seed in seeds:
        total = _sum(total, _one(seed))
    return total


def _one(seed: int) -> Tally:
    try:
        verdict = simulate(plan_of(seed))
    except Exception:  # of the simulation itself: whoever runs the seed again is told
        return Tally(1, 0, 0, 0.0, Counter(), [seed])
    wrong = [seed] if verdict.wrong else []
    faults = Counter(verdict.faults)
    return Tally(1, verdict.attempts, verdict.events, verdict.seconds, faults, wrong)


def _sum(one: Tally, other: Tally) -> Tally:
    return Tally(
        one.seeds + other.seeds,
        one.commands + other.commands,
        one.events + other.events,
        one.seconds + other.seconds,
        one.faults + other.faults,
        one.wrong + other.wrong,
    )


def shown(found: Tally) -> str:
    faults = ", ".join(f"{name} {number:,}" for name, number in sorted(found.faults.items()))
    return (
        f"{found.seeds:,} seeds, {found.commands:,} commands, {found.events:,} events, "
        f"{found.seconds:,.0f} s of virtual time; {len(found.wrong)} seeds found something\n"
        f"faults: {faults}"
    )
