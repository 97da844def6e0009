"""The campaign's own parts: they bite where something is wrong, and the page says what was seen."""

from pathlib import Path

import pytest

from tests.faults.campaign import differential, naive, power
from tests.faults.campaign.fault import Fault, Scale, Seen, skipped
from tests.faults.campaign.report import Ran, report
from tests.faults.campaign.svg import Mark, picture


def scale(folder: Path) -> Scale:
    return Scale(0.05, 7, folder)


@pytest.mark.parametrize("fault", naive.FAULTS, ids=lambda fault: fault.name)
def test_what_a_team_would_write_loses_doubles_or_reorders_events(
    fault: Fault, tmp_path: Path
) -> None:
    assert fault.run(scale(tmp_path)).harmed > 0


def test_a_log_that_was_cut_keeps_what_was_acknowledged(tmp_path: Path) -> None:
    seen = power.FAULT.run(scale(tmp_path))
    assert seen.broken == ()
    assert seen.times > 1


def test_fakeredis_answers_as_valkey_does(tmp_path: Path) -> None:
    assert differential.FAULT.run(scale(tmp_path)).broken == ()


def test_the_page_says_what_was_done_seen_skipped_and_broken() -> None:
    fault = Fault("T0 nothing", "Nothing is done.", "Nothing.", "Everything else.", _no_disk)
    ran = [
        Ran(fault, Seen(3, "three of them", ("two were lost",)), 60.0),
        Ran(fault, _no_disk(scale(Path())), 0.0),
    ]

    page = report(ran, seed=7, part=0.5, left=2, load="Quiet.", pictures=[])

    assert "| T0 nothing | 3 | three of them |" in page
    assert "| T0 nothing | skipped | no disk |" in page
    assert "Broken promises: 1." in page
    assert "two were lost" in page
    assert "Seed 7" in page
    assert "2 faults still to come" in page


def _no_disk(_: Scale) -> Seen:
    return skipped("no disk")


def test_a_picture_has_its_points_and_marks() -> None:
    drawn = picture("waits", "ms", [(0.0, 1.0), (2.0, 4.0)], [Mark(1.0, "killed")])
    assert drawn.startswith("<svg")
    assert "killed" in drawn
    assert drawn.count(",") >= 2
