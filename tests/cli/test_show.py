"""``whence show`` and ``whence why``: asking a running ``whence dev`` from another process."""

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.cli.program import ORDERS, Program, whence

DOMAIN = {"WHENCE_DOMAIN": ORDERS}


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Program]:
    """A server with an order that was placed and cancelled."""
    items = [{"sku": "tea", "quantity": 2, "price": 450}]
    with Program("dev", ORDERS, "--port", "0", cwd=tmp_path) as program:
        order = f"{program.base}/orders/42"
        httpx.post(f"{order}/place", json={"user_id": "ada", "items": items})
        httpx.post(f"{order}/cancel", json={"reason": "too\nlate", "cancelled_by": "\x1b[31mada"})
        yield program


def ask(cwd: Path, *arguments: str) -> str:
    result = whence(*arguments, cwd=cwd, env=DOMAIN)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_show_prints_the_state_now_and_at_a_version(running: Program, tmp_path: Path) -> None:
    now = ask(tmp_path, "show", "order", "42").splitlines()
    assert now[0].startswith("order/42, version 2, since 20")
    assert '  user_id   "ada"' in now
    assert '  status    "cancelled"' in now
    before = ask(tmp_path, "show", "order", "42", "--version", "1").splitlines()
    assert '  status    "pending"' in before


def test_show_takes_the_moments_that_it_prints(running: Program, tmp_path: Path) -> None:
    first = ask(tmp_path, "show", "order", "42", "--version", "1").splitlines()
    since = first[0].rpartition(" ")[2]
    assert ask(tmp_path, "show", "order", "42", "--at", since).splitlines() == first


def test_json_is_what_http_answers(running: Program, tmp_path: Path) -> None:
    base = f"{running.base}/orders/42"
    for arguments, address in [
        (("show", "order", "42"), base),
        (("show", "order", "42", "--version", "1"), f"{base}?version=1"),
        (("why", "order", "42"), f"{base}/why"),
        (("why", "order", "42", "status"), f"{base}/why?field=status"),
    ]:
        assert json.loads(ask(tmp_path, *arguments, "--json")) == httpx.get(address).json()


def test_replay_prints_every_aggregate_as_http_answers_it(running: Program, tmp_path: Path) -> None:
    items = [{"sku": "tea", "quantity": 1, "price": 450}]
    httpx.post(f"{running.base}/orders/43/place", json={"user_id": "bob", "items": items})
    found = [json.loads(line) for line in ask(tmp_path, "replay", "order").splitlines()]
    assert sorted(found, key=lambda order: str(order["id"])) == [
        httpx.get(f"{running.base}/orders/{id_}").json() for id_ in ("42", "43")
    ]
    since = httpx.get(f"{running.base}/orders/42?version=1").json()["occurred_at"]
    (line,) = ask(tmp_path, "replay", "order", "--at", since).splitlines()
    assert json.loads(line) == httpx.get(f"{running.base}/orders/42?version=1").json()


def test_why_names_the_event_the_person_and_the_reason(running: Program, tmp_path: Path) -> None:
    lines = ask(tmp_path, "why", "order", "42", "status").splitlines()
    assert lines[:3] == ["order/42, version 2", "", 'status is "cancelled"']
    assert lines[3].startswith("  version 1, OrderPlaced, 20")
    assert lines[4] == '    "new" -> "pending"'
    assert lines[5].startswith("  version 2, OrderCancelled, 20")
    assert lines[6] == '    "pending" -> "cancelled"'


def test_text_from_strangers_does_not_control_the_terminal(
    running: Program, tmp_path: Path
) -> None:
    lines = ask(tmp_path, "why", "order", "42", "status").splitlines()
    assert lines[7:] == ["    by \\x1b[31mada", "    because: too\\nlate"]


def test_why_without_a_field_has_the_last_event_of_each(running: Program, tmp_path: Path) -> None:
    text = ask(tmp_path, "why", "order", "42")
    assert '"new" -> "pending"' not in text
    assert "approved is false\n  as from the beginning: no event has changed it\n" in text


def test_a_stopped_server_is_started_for_the_question(running: Program, tmp_path: Path) -> None:
    assert running.end() == 0
    assert "order/42, version 2" in ask(tmp_path, "show", "order", "42")
