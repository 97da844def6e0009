"""T13: deterministic simulation, as many seeds as fit into the time."""

import multiprocessing
import os
import resource

from tests.faults.campaign.fault import Fault, Scale, Seen
from tests.faults.simulation.cli import COMMAND, run_seeds, shown

# The seeds below it are run by `make test`.
FIRST = 1_000
WANTED = 100_000


def run(scale: Scale) -> Seen:
    """Seeds from 1,000 on, on all cores, until they are done or the time is up."""
    # Whoever measures a latency meanwhile comes first, where the system lets him.
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    found = run_seeds(FIRST, WANTED, multiprocessing.cpu_count(), scale.seconds)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    each = (used.ru_utime + used.ru_stime) / found.seeds
    hours = each * WANTED / (os.cpu_count() or 1) / 3600
    overnight = (
        f"a seed took {1000 * each:.0f} ms of CPU: {WANTED:,} of them would take these "
        f"{os.cpu_count()} cores {hours:.1f} hours, with `{COMMAND} --seeds {WANTED}`"
    )
    broken = tuple(f"seed {seed}: {COMMAND} --seed {seed}" for seed in found.wrong)
    return Seen(found.seeds, f"{shown(found)}; {overnight}", broken)


FAULT = Fault(
    "T13 deterministic simulation",
    "The real store, actors and projections on one event loop in virtual time: lost requests and "
    "replies, silence, late and repeated packets, refused connections, cancelled callers, killed "
    "and paused processes, restarts, clocks that jump, rebuilds, logs that are rolled back.",
    "All of the checker's invariants, and each view equals a fold of the final log; of a log that "
    "was rolled back, that a view says so or is right.",
    "Acknowledged events of a log that was rolled back.",
    run,
    # As long as the whole campaign, which is less than an hour with the pictures and the set-up.
    lasts_s=3_400.0,
)
