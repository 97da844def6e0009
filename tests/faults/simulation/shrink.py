"""A smaller simulation that goes wrong in the same way."""

from collections.abc import Callable, Iterator

import msgspec

from tests.faults.simulation.plan import Plan
from tests.faults.simulation.rates import Rates
from tests.faults.simulation.world import Verdict, simulate

# Simulations that a shrinking may take.
MOST_RUNS = 200


def shrunk(plan: Plan, kinds: frozenset[str], run: Callable[[Plan], Verdict] = simulate) -> Plan:
    """Take away processes, commands and faults for as long as one of the kinds is still found."""
    runs = 0
    smaller = True
    while smaller:
        smaller = False
        for candidate in _candidates(plan):
            if runs >= MOST_RUNS:
                return plan
            runs += 1
            if run(candidate).kinds & kinds:
                plan, smaller = candidate, True
                break
    return plan


def _candidates(plan: Plan) -> Iterator[Plan]:
    """Smaller plans, those that take away the most first."""
    count = len(plan.mishaps)
    size = count
    while size:
        for first in range(0, count, size):
            rest = plan.mishaps[:first] + plan.mishaps[first + size :]
            yield msgspec.structs.replace(plan, mishaps=rest)
        size //= 2
    for name in Rates.__struct_fields__:
        if getattr(plan.rates, name):
            yield msgspec.structs.replace(
                plan, rates=msgspec.structs.replace(plan.rates, **{name: 0.0})
            )
    for name, nothing in (("impatient", 0.0), ("parks", False), ("shuffled", False)):
        if getattr(plan, name):
            yield msgspec.structs.replace(plan, **{name: nothing})
    for name, least in (
        ("commands", 1),
        ("workers", 1),
        ("commanders", 1),
        ("callers", 1),
        ("aggregates", 1),
        ("partitions", 1),
    ):
        value: int = getattr(plan, name)
        for less in sorted({least, (value + least) // 2, value - 1}):
            if least <= less < value:
                yield _fitting(msgspec.structs.replace(plan, **{name: less}))


def _fitting(plan: Plan) -> Plan:
    """Without the mishaps of processes that are there no more."""
    most = {"commander": plan.commanders, "worker": plan.workers}
    kept = [m for m in plan.mishaps if m.number < most.get(m.kind.rpartition(" ")[2], 1_000)]
    return msgspec.structs.replace(plan, mishaps=tuple(kept))
