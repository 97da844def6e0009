"""``whence dev`` as a person meets it: one command, one Ctrl-C."""

import os
import signal
import socket
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.cli.program import ORDERS, Program, alive, eventually, server_pid, whence

ITEMS = [{"sku": "tea", "quantity": 2, "price": 450}]


def dev(cwd: Path, *more: str) -> Program:
    return Program("dev", ORDERS, "--port", "0", *more, cwd=cwd)


def place(base: str, id_: str) -> None:
    placed = httpx.post(f"{base}/orders/{id_}/place", json={"user_id": "ada", "items": ITEMS})
    assert placed.status_code == 201, placed.text


def cancel(base: str, id_: str) -> None:
    body = {"reason": "changed my mind", "cancelled_by": "ada"}
    cancelled = httpx.post(f"{base}/orders/{id_}/cancel", json=body)
    assert cancelled.status_code == 200, cancelled.text


def rows(base: str, status: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = httpx.get(
        f"{base}/views/order-list", params={"status": status}
    ).json()["rows"]
    return found


def test_an_order_is_placed_and_cancelled_and_says_why(tmp_path: Path) -> None:
    with dev(tmp_path) as program:
        base = program.base
        place(base, "42")
        cancel(base, "42")
        last = httpx.get(f"{base}/orders/42/why", params={"field": "status"}).json()["last"]
        assert (last["old"], last["new"]) == ("pending", "cancelled")
        assert (last["who"], last["reason"]) == ("ada", "changed my mind")
        eventually(lambda: [row["key"] for row in rows(base, "cancelled")] == ["42"], "the view")
        assert program.end() == 0
        assert program.stderr == ""


def test_the_first_request_it_suggests_works(tmp_path: Path) -> None:
    with dev(tmp_path) as program:
        line = program.until_says("/why").stdout.partition("  curl ")[2].splitlines()[0]
        url, _, body = line.split(" ", 1)[0], None, line.rpartition(" -d ")[2].strip("'")
        headers = {"content-type": "application/json"}
        assert httpx.post(url, content=body, headers=headers).status_code == 201


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_all_of_it_although_a_connection_is_open(
    tmp_path: Path, number: signal.Signals
) -> None:
    with dev(tmp_path) as program, httpx.Client(base_url=program.base) as client:
        assert client.get("/livez").is_success
        server = server_pid(tmp_path / "whence-data")
        assert alive(server)
        assert program.end(number) == 0
        assert not alive(server)
        assert program.stderr == ""


def test_it_shows_the_same_orders_when_it_is_started_again(tmp_path: Path) -> None:
    with dev(tmp_path) as program:
        assert "Nothing has happened yet" in program.until_says("/why").stdout
        place(program.base, "42")
        before = httpx.get(f"{program.base}/orders/42").json()
        assert program.end() == 0
    with dev(tmp_path) as program:
        assert httpx.get(f"{program.base}/orders/42").json() == before
        assert "1 so far" in program.stdout
        assert "Nothing has happened yet" not in program.stdout
        assert program.end() == 0


def test_a_request_that_never_ends_does_not_keep_it(tmp_path: Path) -> None:
    with dev(tmp_path) as program, unfinished_request(program.base):
        assert program.end() == 0
        assert "Traceback" not in program.stderr


def test_the_second_ctrl_c_ends_it_at_once(tmp_path: Path) -> None:
    with dev(tmp_path) as program, unfinished_request(program.base):
        server = server_pid(tmp_path / "whence-data")
        port = int(program.base.rpartition(":")[2])
        program.send(signal.SIGINT)
        eventually(lambda: not accepts(port), "the end of accepting")
        assert program.end() == 128 + signal.SIGINT
        assert not alive(server)


def test_a_second_one_on_the_same_data_is_refused(tmp_path: Path) -> None:
    with dev(tmp_path) as program:
        base = program.base
        second = whence("dev", ORDERS, "--port", "0", cwd=tmp_path)
        assert second.returncode == 1
        assert second.stderr.startswith("Error: another Whence server already runs on ")
        place(base, "42")
        assert program.end() == 0


def test_a_port_that_is_taken_leaves_nothing_behind(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused = whence("dev", ORDERS, "--port", str(port), cwd=tmp_path)
    assert refused.returncode == 1
    assert refused.stderr.startswith(f"Error: cannot listen at 127.0.0.1 port {port} (Address")
    assert list(tmp_path.iterdir()) == []


def test_it_ends_with_a_sentence_when_its_server_ends(tmp_path: Path) -> None:
    with dev(tmp_path) as program:
        place(program.base, "42")
        os.kill(server_pid(tmp_path / "whence-data"), signal.SIGKILL)
        assert program.ended() == 1
        assert "ended by itself" in program.stderr
        assert "Traceback" not in program.stderr
    with dev(tmp_path) as program:
        assert httpx.get(f"{program.base}/orders/42").json()["version"] == 1
        assert program.end() == 0


def test_another_data_folder_is_named_for_the_other_commands(tmp_path: Path) -> None:
    with dev(tmp_path, "--data", "elsewhere") as program:
        place(program.base, "42")
        url = program.stdout.partition("export WHENCE_URL=")[2].split()[0]
        shown = whence("show", "order", "42", "--domain", ORDERS, "--url", url, cwd=tmp_path)
        assert shown.returncode == 0, shown.stderr
        assert program.end() == 0


def accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def unfinished_request(base: str) -> socket.socket:
    """A request whose body does not come, and which the server has begun to handle."""
    client = socket.create_connection(("127.0.0.1", int(base.rpartition(":")[2])), timeout=10)
    client.sendall(
        b"POST /orders/42/place HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n"
        b"Expect: 100-continue\r\n\r\n"
    )
    assert client.recv(100).startswith(b"HTTP/1.1 100")
    return client
