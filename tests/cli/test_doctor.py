"""``whence doctor``: a table, an exit code, and nothing changed."""

import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from tests.cli.program import ORDERS, PATIENCE, Program, environment, whence
from tests.store.plain_server import ask, setting
from whence.store.doctor import Finding
from whence.store.embedded import EmbeddedServer


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedServer]:
    with EmbeddedServer.start(tmp_path / "own") as server:
        yield server


def row(stdout: str, name: str) -> str:
    return next(line for line in stdout.splitlines() if line.startswith(name))


def test_a_server_without_danger_ends_with_0(tmp_path: Path, server: EmbeddedServer) -> None:
    result = whence("doctor", "--url", server.url, cwd=tmp_path)

    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.splitlines()[0].split() == [
        "check",
        "found",
        "verdict",
        "what",
        "to",
        "do",
    ]
    assert row(result.stdout, "appendfsync").split() == ["appendfsync", "always", "ok"]
    assert ask(server.url, "DBSIZE") == 0


def test_a_danger_is_named_and_ends_with_1(tmp_path: Path, server: EmbeddedServer) -> None:
    setting(server, "appendfsync", "everysec")

    result = whence("doctor", "--url", server.url, cwd=tmp_path)

    assert (result.returncode, result.stderr) == (1, "")
    assert "danger" in row(result.stdout, "appendfsync")
    assert "CONFIG SET appendfsync always" in row(result.stdout, "appendfsync")


@pytest.mark.parametrize("by", ["option", "environment"])
def test_what_is_a_danger_depends_on_the_durability(
    tmp_path: Path, server: EmbeddedServer, by: str
) -> None:
    setting(server, "appendfsync", "everysec")
    arguments = ["--durability", "relaxed"] if by == "option" else []
    env = {"WHENCE_DURABILITY": "relaxed"} if by == "environment" else {}

    result = whence("doctor", "--url", server.url, *arguments, cwd=tmp_path, env=env)

    assert result.returncode == 0
    assert "warning" in row(result.stdout, "appendfsync")


def test_json_has_the_same_findings_and_exit_code(tmp_path: Path, server: EmbeddedServer) -> None:
    setting(server, "maxmemory-policy", "allkeys-lru")

    result = whence("doctor", "--url", server.url, "--json", cwd=tmp_path)

    assert result.returncode == 1
    findings = msgspec.json.decode(result.stdout, type=list[Finding])
    dangers = [finding for finding in findings if finding.verdict == "danger"]
    assert [danger.name for danger in dangers] == ["maxmemory-policy"]
    assert dangers[0].found == "allkeys-lru"


def test_it_finds_the_server_of_the_folder(tmp_path: Path) -> None:
    with Program("dev", ORDERS, "--port", "0", cwd=tmp_path) as program:
        program.until_says("running at")
        result = whence("doctor", cwd=tmp_path)
        assert (result.returncode, result.stderr) == (0, "")
        assert row(result.stdout, "partitions").split() == ["partitions", "64", "ok"]
        assert program.end() == 0


def test_a_terminal_gets_a_table(tmp_path: Path) -> None:
    terminal, stdout = pty.openpty()
    try:
        subprocess.run(
            [sys.executable, "-m", "whence", "doctor", "--url", "memory://"],
            cwd=tmp_path,
            env=environment(TERM="xterm", COLUMNS="100"),
            stdout=stdout,
            timeout=PATIENCE,
            check=True,
        )
        seen = os.read(terminal, 10_000).decode()
        assert seen.startswith("┏━")
        assert "nothing is kept" in seen
    finally:
        os.close(stdout)
        os.close(terminal)
