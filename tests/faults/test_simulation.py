"""The real store, actors and projections in virtual time, with 1,000 seeds of trouble (T13)."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.simulation.cli import report
from tests.faults.simulation.mutants import COMMAND_ID, MUTANTS, SEEDS, Mutant, found
from tests.faults.simulation.plan import plan_of
from tests.faults.simulation.shrink import shrunk
from tests.faults.simulation.world import simulate

ROOT = Path(__file__).parents[2]
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


# A piece of a parked account whose commit arrives once more when the account has caught up; a clock
# that jumps back by two minutes behind a worker that was killed; a log that is rolled back while a
# rebuild waits for its end; a generation on such a log that another rebuild drops.
@pytest.mark.parametrize("seed", [10671, 29491, 7092, 7400])
def test_what_a_seed_has_found_stays_mended(seed: int) -> None:
    check(seed)


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


@pytest.mark.timeout(900)  # some take hundreds of seeds, and a busy machine
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_check_that_is_taken_out_is_found(
    monkeypatch: pytest.MonkeyPatch, mutant: Mutant
) -> None:
    mutant.plant(monkeypatch)
    assert found(mutant) is not None, f"not within {SEEDS} seeds"


def test_what_is_found_shrinks(monkeypatch: pytest.MonkeyPatch) -> None:
    COMMAND_ID.plant(monkeypatch)
    first = found(COMMAND_ID)
    assert first is not None

    small = shrunk(first.plan, COMMAND_ID.kinds)
    assert simulate(small).kinds & COMMAND_ID.kinds
    assert small.commands <= first.plan.commands
    assert len(small.mishaps) < len(first.plan.mishaps)
    assert f"--seed {first.plan.chance}" in report(first.plan, first.verdict)
