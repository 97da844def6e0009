"""The real store, actors and projections in virtual time, with 1,000 seeds of trouble (T13)."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.mutation import mutated
from tests.faults.simulation.cli import report
from tests.faults.simulation.plan import Plan, plan_of
from tests.faults.simulation.shrink import shrunk
from tests.faults.simulation.world import Verdict, simulate
from whence.projections import anchor, checkpoint
from whence.store import append

ROOT = Path(__file__).parents[2]
SEEDS = 1_000
PIECE = 20


@pytest.mark.parametrize("first", range(0, SEEDS, PIECE))
def test_a_seed_breaks_no_promise(first: int) -> None:
    for seed in range(first, first + PIECE):
        check(seed)


def check(seed: int) -> None:
    plan = plan_of(seed)
    verdict = simulate(plan)
    if verdict.wrong:
        pytest.fail(report(plan, verdict), pytrace=False)


def test_a_seed_is_the_same_whenever_it_is_run() -> None:
    alone = [simulate(plan_of(seed)).trace for seed in range(5)]
    assert [simulate(plan_of(seed)).trace for seed in reversed(range(5))][::-1] == alone


def test_a_seed_is_the_same_in_another_process() -> None:
    # Seeds at which the share of a worker followed from its name, and that from the process's id.
    for seed in (1014, 1020):
        replay = [sys.executable, "-m", "tests.faults.simulation", "--seed", str(seed)]
        environment = {**os.environ, "PYTHONHASHSEED": str(seed)}
        again = subprocess.run(
            replay, cwd=ROOT, env=environment, capture_output=True, text=True, check=True
        )
        assert f"trace={simulate(plan_of(seed)).trace})" in again.stdout


def test_every_fault_happens_and_commands_get_through() -> None:
    verdicts = [simulate(plan_of(seed)) for seed in range(60)]
    met = {name for verdict in verdicts for name in verdict.faults}
    assert met >= {
        *("refused", "unanswered", "lost_request", "lost_reply", "silence", "late", "repeated"),
        *("slow", "kill commander", "pause commander", "kill worker", "pause worker"),
        *("restart server", "forget scripts", "jump clock", "rebuild", "roll back"),
    }
    assert sum(verdict.events for verdict in verdicts) > 500


# The checks bite: each of these is found, and shrinks to fewer processes, commands and faults.


def test_without_the_command_id_check_a_command_is_stored_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    old = "and stored_by(key, expected, command, count)"
    mutated(monkeypatch, append, "_SCRIPT", old, "and false")

    plan, verdict = first_found("duplicate")

    small = shrunk(plan, frozenset({"duplicate"}))
    assert "duplicate" in simulate(small).kinds
    assert small.commands <= plan.commands
    assert len(small.mishaps) < len(plan.mishaps)
    assert f"--seed {plan.chance}" in report(small, verdict)


@pytest.mark.timeout(900)  # it takes some hundred seeds, and a busy machine
def test_without_the_fence_a_zombie_applies_events_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    old = "checkpoint[1] ~= ARGV[1] or checkpoint[2] ~= ARGV[2]"
    mutated(monkeypatch, checkpoint, "COMMIT", old, "false")
    first_found("view")


def test_without_the_anchor_a_view_goes_on_from_events_that_are_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def always(*_: object) -> bool:
        return True

    monkeypatch.setattr(anchor, "_stands_on", always)
    first_found("view", only_rolled_back=True)


def test_with_a_check_after_the_first_write_a_refused_command_is_stored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Then it is the stream that refuses the second event of a version, halfway through the script.
    old = "if head.version ~= expected or head.broken then"
    mutated(monkeypatch, append, "_SCRIPT", old, "if false then")
    first_found("crashed")


def first_found(kind: str, *, only_rolled_back: bool = False) -> tuple[Plan, Verdict]:
    """The first seed that finds something of a kind."""
    for plan in map(plan_of, range(SEEDS)):
        if plan.rolls_back or not only_rolled_back:
            verdict = simulate(plan)
            if kind in verdict.kinds:
                return plan, verdict
    pytest.fail(f"no {kind!r} within {SEEDS} seeds")
