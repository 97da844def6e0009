"""More aggregates than fit: what is live stays within its bounds, and so does the process."""

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from tests.actors.touching import Report
from whence.actors.passivation import MAX_ACTORS, MAX_BYTES

ROOT = Path(__file__).parents[2]
TOUCHED = 1_000_000
# Bytes by which the process may grow. A million actors that stay would take five times as much.
BOUND = 200_000_000


@pytest.mark.skipif(sys.platform != "linux", reason="reads the resident memory from /proc")
@pytest.mark.timeout(500)
def test_a_million_aggregates_touched_once_stay_within_bounds() -> None:
    command = [sys.executable, "-m", "tests.actors.touching", str(TOUCHED)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=480, check=True)
    report = msgspec.json.decode(done.stdout, type=Report)

    assert report.stored == TOUCHED
    assert report.live_actors == MAX_ACTORS
    assert report.live_bytes <= MAX_BYTES
    assert report.peak - report.before < BOUND
    # The estimate is of the same order as what the process took for it.
    assert 0.5 < (report.after - report.before) / report.live_bytes < 2
