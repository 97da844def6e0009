"""The durability on the command line: refused where the server does less, never in silence."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.cli.program import ORDERS, Program, whence
from tests.store.plain_server import ask, setting
from whence.store.embedded import EmbeddedServer, running_at

DOMAIN = {"WHENCE_DOMAIN": ORDERS}
HISTORY = "reading:histories"
READING = "def histories(file): return []\n"
BODY = {"user_id": "ada", "items": [{"sku": "tea", "quantity": 2, "price": 450}]}


@pytest.fixture
def relaxed(tmp_path: Path) -> Iterator[EmbeddedServer]:
    """A server that syncs its log every second."""
    with EmbeddedServer.start(tmp_path / "own", fsync="everysec") as server:
        yield server


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "reading.py").write_text(READING)
    (tmp_path / "file.csv").touch()
    return tmp_path


WRITERS = [["web", "--port", "0"], ["worker"], ["import", HISTORY, "file.csv"]]


@pytest.mark.parametrize("command", WRITERS, ids=lambda command: command[0])
def test_what_writes_refuses_a_server_that_keeps_less(
    folder: Path, relaxed: EmbeddedServer, command: list[str]
) -> None:
    result = whence(*command, "--url", relaxed.url, cwd=folder, env=DOMAIN)

    assert result.returncode == 1
    assert "appendfsync is everysec, and durability fsync needs always" in result.stderr
    assert "Traceback" not in result.stderr
    assert ask(relaxed.url, "DBSIZE") == 0


@pytest.mark.parametrize("by", ["option", "environment"])
def test_relaxed_is_chosen_by_name(folder: Path, relaxed: EmbeddedServer, by: str) -> None:
    arguments = ["--durability", "relaxed"] if by == "option" else []
    env = DOMAIN | ({"WHENCE_DURABILITY": "relaxed"} if by == "environment" else {})

    result = whence(*WRITERS[2], "--url", relaxed.url, *arguments, cwd=folder, env=env)

    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize("by", ["option", "environment"])
def test_what_the_server_hides_is_asserted_by_the_operator(
    folder: Path, relaxed: EmbeddedServer, by: str
) -> None:
    setting(relaxed, "appendfsync", "always")
    ask(relaxed.url, "ACL", "SETUSER", "app", "on", ">secret", "~*", "+@all", "-config")
    command = [*WRITERS[2], "--url", relaxed.url.replace("unix://", "unix://app:secret@")]
    refused = whence(*command, cwd=folder, env=DOMAIN)
    assert refused.returncode == 1
    assert "set WHENCE_ASSERT_DURABILITY=1" in refused.stderr
    assert "secret" not in refused.stderr
    if by == "option":
        result = whence(*command, "--assert-durability", cwd=folder, env=DOMAIN)
    else:
        result = whence(*command, cwd=folder, env=DOMAIN | {"WHENCE_ASSERT_DURABILITY": "1"})

    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize(("durability", "fsync"), [("fsync", "always"), ("relaxed", "everysec")])
def test_the_embedded_server_is_set_as_asked(tmp_path: Path, durability: str, fsync: str) -> None:
    with Program("dev", ORDERS, "--port", "0", "--durability", durability, cwd=tmp_path) as program:
        assert httpx.post(f"{program.base}/orders/42/place", json=BODY).status_code == 201
        url = running_at(tmp_path / "whence-data")
        assert url is not None
        assert ask(url, "CONFIG", "GET", "appendfsync")[1] == fsync.encode()
        # What only reads is not refused: it can lose nothing.
        shown = whence("show", "order", "42", cwd=tmp_path, env=DOMAIN)
        assert (shown.returncode, shown.stderr) == (0, "")
        assert program.end() == 0


@pytest.mark.parametrize("command", [["dev", ORDERS], ["web"]], ids=["dev", "web"])
def test_the_embedded_server_has_no_replicas(tmp_path: Path, command: list[str]) -> None:
    result = whence(
        *command, "--port", "0", "--durability", "replicated:1", cwd=tmp_path, env=DOMAIN
    )
    assert result.returncode == 1
    assert "the embedded one has none: use fsync or relaxed" in result.stderr
    assert not (tmp_path / "whence-data").exists()


def test_another_name_is_a_mistake_in_the_command(tmp_path: Path) -> None:
    result = whence("dev", ORDERS, "--durability", "always", cwd=tmp_path)
    assert result.returncode == 2
    assert "use fsync, relaxed, or replicated:N" in result.stderr
