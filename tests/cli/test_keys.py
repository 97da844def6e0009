"""``whence keys``, and the servers that ask for them."""

import json
import stat
from pathlib import Path

import httpx
import pytest

from tests.cli.program import ORDERS, Program, whence


def test_a_key_is_shown_once_and_opens_the_server(tmp_path: Path) -> None:
    made = whence("keys", "add", "checkout", "--scope", "write", cwd=tmp_path)
    secret = made.stdout.strip()
    file = tmp_path / "whence-keys.json"

    assert made.returncode == 0
    assert secret not in file.read_text(encoding="utf-8")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with Program(
        "dev", ORDERS, "--port", "0", "--host", "0.0.0.0", cwd=tmp_path, env=_keys(file)
    ) as program:
        base = program.base.replace("0.0.0.0", "127.0.0.1")
        assert httpx.get(f"{base}/orders/42").status_code == 401
        headers = {"authorization": f"Bearer {secret}"}
        assert httpx.get(f"{base}/orders/42", headers=headers).status_code == 404
        assert "No keys" not in program.stdout
        assert program.end() == 0
        assert secret not in program.stdout + program.stderr


def _keys(file: Path) -> dict[str, str]:
    return {"WHENCE_API_KEYS": str(file)}


def test_keys_are_listed_and_removed_by_name(tmp_path: Path) -> None:
    assert "has no keys" in whence("keys", "list", cwd=tmp_path).stdout
    for name, scope in (("ann", "read"), ("bob", "admin")):
        assert whence("keys", "add", name, "--scope", scope, cwd=tmp_path).returncode == 0
    assert whence("keys", "list", cwd=tmp_path).stdout == "ann  read\nbob  admin\n"
    assert whence("keys", "remove", "ann", cwd=tmp_path).returncode == 0
    kept = json.loads((tmp_path / "whence-keys.json").read_text(encoding="utf-8"))
    assert [key["name"] for key in kept] == ["bob"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("add", "a b", "--scope", "read"), "cannot name a key"),
        (("add", "ann", "--scope", "read"), "already"),
        (("remove", "eve"), "no key named 'eve'"),
        (("add", "bob", "--scope", "all"), "'all' is not one of"),
        (("add", "bob", "--scope", "read", "--file", "no/such/keys.json"), "cannot be written"),
    ],
)
def test_a_mistake_is_a_sentence(tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    whence("keys", "add", "ann", "--scope", "read", cwd=tmp_path)
    before = (tmp_path / "whence-keys.json").read_bytes()
    result = whence("keys", *arguments, cwd=tmp_path)

    assert result.returncode != 0
    assert words in result.stderr
    assert "Traceback" not in result.stderr
    assert (tmp_path / "whence-keys.json").read_bytes() == before


class TestServers:
    def test_a_server_for_all_needs_keys(self, tmp_path: Path) -> None:
        result = whence("dev", ORDERS, "--port", "0", "--host", "0.0.0.0", cwd=tmp_path)
        assert result.returncode == 1
        assert "WHENCE_API_KEYS" in result.stderr

    def test_on_this_machine_it_says_that_none_are_asked_for(self, tmp_path: Path) -> None:
        with Program("dev", ORDERS, "--port", "0", cwd=tmp_path) as program:
            program.until_says("No keys are asked for")
            assert program.end() == 0

    @pytest.mark.parametrize(
        ("settings", "words"),
        [
            ({"WHENCE_API_KEYS": "nothing.json"}, "nothing.json"),
            ({"WHENCE_JWT_KEYS": "nothing.json"}, "WHENCE_JWT_ISSUER"),
            (
                {
                    "WHENCE_JWT_KEYS": "nothing.json",
                    "WHENCE_JWT_ISSUER": "i",
                    "WHENCE_JWT_AUDIENCE": "a",
                },
                "nothing.json",
            ),
        ],
    )
    def test_settings_that_open_nothing_are_an_error(
        self, tmp_path: Path, settings: dict[str, str], words: str
    ) -> None:
        result = whence("dev", ORDERS, "--port", "0", cwd=tmp_path, env=settings)
        assert result.returncode == 1
        assert words in result.stderr
