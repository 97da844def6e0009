"""T13: deterministic simulation, as many seeds as fit into the time."""

import multiprocessing

from tests.faults.campaign.fault import Fault, Scale, Seen
from tests.faults.simulation.cli import COMMAND, run_seeds, shown

SEEDS = 100_000
# Seconds: a quarter of what the whole campaign may take.
WITHIN = 900.0


def run(scale: Scale) -> Seen:
    """Seeds from 0 on, on all cores, until they are done or the time is up."""
    within = WITHIN * scale.part
    found = run_seeds(0, scale.of(SEEDS, 20), multiprocessing.cpu_count(), within)
    broken = tuple(f"seed {seed}: {COMMAND} --seed {seed}" for seed in found.wrong)
    return Seen(found.seeds, shown(found), broken)


FAULT = Fault(
    "T13 deterministic simulation",
    "The real store, actors and projections on one event loop in virtual time: lost requests and "
    "replies, silence, late and repeated packets, refused connections, cancelled callers, killed "
    "and paused processes, restarts, clocks that jump, rebuilds, logs that are rolled back.",
    "All of the checker's invariants, and each view equals a fold of the final log; of a log that "
    "was rolled back, that a view says so or is right.",
    "Acknowledged events of a log that was rolled back.",
    run,
)
