"""Running what measures a peer, in the environment that has the peers' packages."""

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from bench.domain import REFERENCE

ACCOUNTS = 1_000
# How long each setting is measured.
SECONDS = 2.0

_SCRIPTS = Path(__file__).parent / "theirs"
_ENVIRONMENT = Path(__file__).parents[2] / ".venv-peers"


class NotHere(Exception):
    """A peer cannot be measured on this machine, and why."""


def program(name: str) -> Path:
    """A program of the peers' environment. Raises NotHere."""
    path = _ENVIRONMENT / "bin" / name
    if not path.exists():
        raise NotHere(f"{path} is not there: `make bench-peers` installs it")
    return path


def measured(
    script: str, *arguments: str, env: Mapping[str, str] | None = None
) -> dict[str, float]:
    """Commands/s by setting, as a script in ``theirs/`` prints them. Raises NotHere."""
    command = [str(program("python")), str(_SCRIPTS / script), *arguments]
    command += [str(ACCOUNTS), str(SECONDS), REFERENCE]
    ran = subprocess.run(
        command, check=False, capture_output=True, env={**os.environ, **(env or {})}, timeout=120
    )
    if ran.returncode:
        last = ran.stderr.decode().strip().splitlines()[-1:]
        raise NotHere(f"{script} ended with {ran.returncode}: {' '.join(last)}")
    results: dict[str, float] = json.loads(ran.stdout)
    return results
