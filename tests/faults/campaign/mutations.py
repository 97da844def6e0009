"""T13: the checks bite: with one of them taken out, simulations find something."""

import pytest

from tests.faults.campaign.fault import Fault, Scale, Seen
from tests.faults.simulation.mutants import MUTANTS, SEEDS, found


def run(_: Scale) -> Seen:
    """Look for each, whatever the scale: fewer seeds would not do."""
    told: list[str] = []
    broken: list[str] = []
    for mutant in MUTANTS:
        with pytest.MonkeyPatch.context() as patch:
            mutant.plant(patch)
            first = found(mutant)
        if first is None:
            broken.append(f"{mutant.name}: not found within {SEEDS:,} seeds")
        else:
            told.append(
                f"{mutant.name}: by seed {first.plan.chance}, the {first.simulated}. simulated, as "
                f"{', '.join(sorted(first.verdict.kinds & mutant.kinds))}"
            )
    return Seen(len(MUTANTS), "; ".join(told), tuple(broken))


FAULT = Fault(
    "T13 planted mutations",
    "A check is taken out of the code, or comes after the first write, and seeds from 0 on are "
    f"simulated until one finds something; of two, only the plans in which that can be: {SEEDS:,} "
    "seeds have about 100 views that park, and 60 logs that are rolled back.",
    f"Each is found within {SEEDS:,} seeds.",
    "Of the position in the fence alone: who has lost the lease is stopped by the epoch, so only a "
    "commit that something on the way repeats would tell.",
    run,
    within_s=1_200.0,
)
