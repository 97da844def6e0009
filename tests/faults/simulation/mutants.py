"""Checks taken out of the code: each has to be found by a simulation."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import pytest

from tests.faults.mutation import mutated
from tests.faults.simulation.plan import Plan, plan_of
from tests.faults.simulation.world import Verdict, simulate
from whence.projections import anchor, checkpoint
from whence.store import append

# Of them one has to find it.
SEEDS = 1_000


class Mutant(NamedTuple):
    """What is done, the kinds of violation that show it, and the plans in which it can show."""

    name: str
    plant: Callable[[pytest.MonkeyPatch], None]
    kinds: frozenset[str]
    among: Callable[[Plan], bool] = lambda _: True


class Found(NamedTuple):
    """``simulated`` is how many plans it took."""

    plan: Plan
    verdict: Verdict
    simulated: int


def found(mutant: Mutant) -> Found | None:
    """The first of the seeds that finds a mutant that is planted; None if none does."""
    for number, plan in enumerate(_plans(mutant), 1):
        verdict = simulate(plan)
        if verdict.kinds & mutant.kinds:
            return Found(plan, verdict, number)
    return None


def _plans(mutant: Mutant) -> Iterable[Plan]:
    return filter(mutant.among, map(plan_of, range(SEEDS)))


def _without_command_id(patch: pytest.MonkeyPatch) -> None:
    old = "and stored_by(key, expected, command, count)"
    mutated(patch, append, "_SCRIPT", old, "and false")


def _without_fence(patch: pytest.MonkeyPatch) -> None:
    old = "checkpoint[1] ~= ARGV[1] or checkpoint[2] ~= ARGV[2]"
    mutated(patch, checkpoint, "COMMIT", old, "false")


def _without_epoch(patch: pytest.MonkeyPatch) -> None:
    # A piece of a parked account does not move the position, so it is no fence there.
    old = "checkpoint[1] ~= ARGV[1] or checkpoint[2] ~= ARGV[2]"
    mutated(patch, checkpoint, "COMMIT", old, "checkpoint[2] ~= ARGV[2]")


def _without_anchor(patch: pytest.MonkeyPatch) -> None:
    def always(*_: object) -> bool:
        return True

    patch.setattr(anchor, "_stands_on", always)


def _check_after_write(patch: pytest.MonkeyPatch) -> None:
    # The stream refuses an event of a version that it has, but when its pointer stands in the feed.
    mutated(
        patch,
        append,
        "_SCRIPT",
        "if head.version ~= expected or head.broken then",
        "if false then",
    )
    pointer = "redis.call('XADD', append.feed, '0-' .. position, 's', name, 'v', version)"
    mutated(patch, append, "_SCRIPT", pointer, "")
    event = "local added = redis.pcall('XADD', append.key, id,"
    mutated(patch, append, "_SCRIPT", event, f"{pointer}\n    {event}")


def _parks(plan: Plan) -> bool:
    return plan.parks


def _rolls_back(plan: Plan) -> bool:
    return plan.rolls_back


COMMAND_ID = Mutant("no check of the command id", _without_command_id, frozenset({"duplicate"}))
MUTANTS = (
    COMMAND_ID,
    Mutant("no fence of epoch and position", _without_fence, frozenset({"view"})),
    Mutant("no epoch in the fence", _without_epoch, frozenset({"view", "stuck"}), _parks),
    Mutant("no anchor", _without_anchor, frozenset({"view"}), _rolls_back),
    Mutant("the version checked after the first write", _check_after_write, frozenset({"pointer"})),
)
