"""The first session of the README, typed as it stands there, gives what stands there."""

import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.program import ORDERS, PATIENCE, Program, environment

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
# The server of the README, and what is another moment each time.
SERVER = "localhost:8000"
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}")


def session() -> list[tuple[str, str]]:
    """Each line that is typed, and what it prints."""
    chapter = README.partition("## The first session")[2].partition("\n## ")[0]
    (block,) = re.findall(r"```\n(\$ curl .+?)```", chapter, re.DOTALL)
    typed = [one.partition("\n") for one in block.removeprefix("$ ").split("\n$ ")]
    return [(line, printed.strip()) for line, _, printed in typed]


def curl_takes_json() -> bool:
    """Whether there is a curl, of 7.82 or later."""
    if shutil.which("curl") is None:
        return False
    told = subprocess.run(["curl", "--version"], capture_output=True, text=True, check=True)
    major, minor = told.stdout.split()[1].split(".")[:2]
    return (int(major), int(minor)) >= (7, 82)


@pytest.mark.skipif(not curl_takes_json(), reason="curl 7.82 or later is not installed")
def test_it_gives_what_it_shows(tmp_path: Path) -> None:
    lines = session()
    assert len(lines) >= 6
    with Program("dev", ORDERS, "--port", "0", cwd=tmp_path) as dev:
        base = dev.base.removeprefix("http://")
        for line, shown in lines:
            typed = line.replace(SERVER, base).replace(
                ".venv/bin/whence", f"{sys.executable} -m whence"
            )
            give_up = time.monotonic() + PATIENCE
            printed = run(typed, tmp_path)
            while moments_aside(printed) != moments_aside(shown) and time.monotonic() < give_up:
                assert "/views/" in line, f"{line}\n{printed}"
                time.sleep(0.05)  # a view follows; what a command has answered is there
                printed = run(typed, tmp_path)
            assert moments_aside(printed) == moments_aside(shown), line
        assert dev.end() == 0


def run(line: str, cwd: Path) -> str:
    """What a shell prints for a line."""
    env = environment(WHENCE_DOMAIN=ORDERS)
    command = ["sh", "-c", line.replace("curl ", "curl -sS ", 1)]
    done = subprocess.run(
        command, cwd=cwd, env=env, capture_output=True, text=True, timeout=PATIENCE, check=True
    )
    return done.stdout.strip()


def moments_aside(text: str) -> str:
    return MOMENT.sub("<moment>", text)
