"""The campaign's own parts: they bite where something is wrong, and the page says what was seen."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.faults.campaign import differential, kills, naive, power
from tests.faults.campaign.fault import Fault, Ran, Scale, Seen, skipped
from tests.faults.campaign.report import report
from tests.faults.campaign.runner import Runner, judged
from tests.faults.campaign.soak import Sample, Thirds
from tests.faults.campaign.svg import Mark, picture
from tests.faults.campaign.syncs import Synced, synced_by


def scale(folder: Path) -> Scale:
    return Scale(0.05, 7, folder)


def ran_here(fault: Fault, folder: Path) -> Seen:
    """What is seen of it; the test is skipped where the fault is, as without a C compiler."""
    seen = fault.run(scale(folder))
    if seen.skipped:
        pytest.skip(seen.skipped)
    return seen


@pytest.mark.parametrize("fault", naive.FAULTS, ids=lambda fault: fault.name)
def test_what_a_team_would_write_loses_doubles_or_reorders_events(
    fault: Fault, tmp_path: Path
) -> None:
    assert ran_here(fault, tmp_path).harmed > 0


def test_a_log_that_was_cut_keeps_what_was_acknowledged(tmp_path: Path) -> None:
    seen = ran_here(power.FAULT, tmp_path)
    assert seen.broken == ()
    assert seen.times > 1


def test_a_log_that_lost_what_was_synced_is_found_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def half(moment: int, syncs: Sequence[Synced]) -> int:
        return synced_by(moment, syncs) // 2

    # Soon after the first answer all that was answered may stand in the first half.
    def last(_: object, __: object, syncs: Sequence[Synced]) -> int:
        return syncs[-1].at

    monkeypatch.setattr(power, "_moment", last)
    monkeypatch.setattr(power, "synced_by", half)
    assert ran_here(power.FAULT, tmp_path).broken != ()


def test_fakeredis_answers_as_valkey_does(tmp_path: Path) -> None:
    assert differential.FAULT.run(scale(tmp_path)).broken == ()


def test_the_page_says_what_was_done_seen_skipped_and_broken() -> None:
    fault = Fault("T0 nothing", "Nothing is done.", "Nothing.", "Everything else.", _no_disk)
    ran = [
        Ran(fault, Seen(3, "three of them", ("two were lost",)), 60.0),
        Ran(fault, _no_disk(scale(Path())), 0.0),
    ]

    page = report(ran, head="Seed 7.", load="Quiet.", pictures=[])

    assert "| T0 nothing | 3 | 60 s | three of them |" in page
    assert "| T0 nothing | skipped | | no disk |" in page
    assert "two were lost" in page
    assert "Seed 7" in page


def _no_disk(_: Scale) -> Seen:
    return skipped("no disk")


def test_a_picture_has_its_points_and_marks() -> None:
    drawn = picture("waits", "ms", [(0.0, 1.0), (2.0, 4.0)], [Mark(1.0, "killed")])
    assert drawn.startswith("<svg")
    assert "killed" in drawn
    assert drawn.count(",") >= 2


def test_a_fault_that_does_not_come_to_its_end_is_ended_and_named() -> None:
    with Runner(0.05, 7) as runner:
        ran = runner.run(kills.VALKEY._replace(within_s=0.01))
        assert (
            runner.replay(ran.fault) == "make faults ONLY='T1 kill -9, Valkey 9' SEED=7 PART=0.05"
        )
    (broken,) = ran.seen.broken
    assert broken.startswith("it was ended after 0 s")


def test_a_fault_whose_process_fails_says_why() -> None:
    with Runner(0.05, 7) as runner:
        ran = runner.run(kills.VALKEY._replace(name="T0 unheard of"))
    (broken,) = ran.seen.broken
    assert broken.startswith("its process ended with 1")
    assert "Traceback" in broken


@pytest.mark.parametrize(("harmed", "findings"), [(0, 1), (3, 0)])
def test_a_naive_variant_that_comes_to_no_harm_is_a_finding(harmed: int, findings: int) -> None:
    (fault, *_) = naive.FAULTS
    assert len(judged(fault, Seen(10, "ten", harmed=harmed)).broken) == findings


FLAT = Sample(memory=100e6, files=14, median=2.0, slowest=9.0)


@pytest.mark.parametrize(
    ("thirds", "finding"),
    [
        (Thirds(FLAT, FLAT, FLAT), None),
        (Thirds(FLAT, FLAT, FLAT._replace(memory=112e6)), "memory grew by 12%"),
        (Thirds(FLAT, FLAT, FLAT._replace(files=20)), "6 files more are open"),
        (Thirds(FLAT, FLAT, FLAT._replace(median=6.2)), "a command takes 3.1 times as long"),
        (
            Thirds(FLAT, FLAT._replace(median=6.2), FLAT._replace(median=6.2)),
            "a command takes 3.1 times as long",
        ),
        (
            Thirds(FLAT._replace(median=6.2), FLAT, FLAT._replace(median=6.2)),
            "a command takes 3.1 times as long",
        ),
    ],
)
def test_a_soak_that_is_not_flat_is_found_out(thirds: Thirds, finding: str | None) -> None:
    assert thirds.broken == ([finding] if finding else [])
