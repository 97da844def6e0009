"""--metrics-port and --log-format of the serving commands."""

import json
import socket
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.cli.program import ORDERS, Program, eventually, whence

DOMAIN = {"WHENCE_DOMAIN": ORDERS}


def metrics_of(program: Program) -> str:
    """The address of its metrics, as it says."""
    program.until_says("Metrics at ")
    return program.stdout.partition("Metrics at ")[2].split()[0]


@pytest.mark.parametrize("command", ["web", "worker", "dev"])
def test_metrics_have_a_port_of_their_own(tmp_path: Path, command: str) -> None:
    arguments = {"web": ["--port", "0"], "worker": [], "dev": [ORDERS, "--port", "0"]}[command]
    with Program(command, *arguments, "--metrics-port", "0", cwd=tmp_path, env=DOMAIN) as program:
        url = metrics_of(program)
        assert url.startswith("http://127.0.0.1:")

        def told() -> str:
            return httpx.get(url).text

        assert "\nwhence_store_up 1.0\n" in told()
        assert 'whence_projection_lag_events{partition="63",projection="order-list"}' in told()
        assert ("whence_http_request_seconds" in told()) == (command != "worker")
        eventually(lambda: "whence_event_loop_lag_seconds_count 0.0" not in told(), "a look")
        assert program.end() == 0
        assert program.stderr == ""
    with pytest.raises(httpx.ConnectError):
        httpx.get(url)


def test_metrics_are_off_unless_asked_for(tmp_path: Path) -> None:
    with Program("web", "--port", "0", cwd=tmp_path, env=DOMAIN) as web:
        web.until_says("Serving at")
        assert "Metrics" not in web.stdout
        assert httpx.get(f"{web.base}/metrics").status_code == 404
        assert web.end() == 0


def test_a_port_for_metrics_that_is_taken_starts_nothing(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        result = whence("web", "--port", "0", "--metrics-port", port, cwd=tmp_path, env=DOMAIN)
    assert result.returncode == 1
    assert "choose another one with --metrics-port" in result.stderr
    assert not (tmp_path / "whence-data").exists()


def test_lines_of_the_log_are_json_if_asked_for(tmp_path: Path) -> None:
    env = {**DOMAIN, "WHENCE_LOG_FORMAT": "json", "WHENCE_URL": "memory://logs"}
    with Program("web", "--port", "0", cwd=tmp_path, env=env) as web:
        address = httpx.URL(web.base)
        with socket.create_connection((address.host, address.port or 0)) as raw:
            raw.sendall(b"NONSENSE\r\n\r\n")
            assert raw.recv(100).startswith(b"HTTP/1.1 400")
        eventually(lambda: web.stderr, "a line")
        assert web.end() == 0
        lines: list[dict[str, Any]] = [json.loads(line) for line in web.stderr.splitlines()]
    (line,) = lines
    assert line["level"] == "warning"
    assert line["logger"] == "uvicorn.error"
    assert set(line) == {"time", "level", "logger", "message"}


def test_spans_go_to_the_exporter(tmp_path: Path) -> None:
    arguments = ["--port", "0", "--traces", "console"]
    with Program("dev", ORDERS, *arguments, cwd=tmp_path) as dev:
        body = {"user_id": "ada", "items": [{"sku": "tea", "quantity": 2, "price": 450}]}
        headers = {"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}
        placed = httpx.post(f"{dev.base}/orders/42/place", json=body, headers=headers)
        position = placed.headers["whence-position"]
        httpx.get(f"{dev.base}/views/order-list", params={"wait_for": position}).raise_for_status()
        assert dev.end() == 0
        assert '"name": "order.place"' in dev.stdout
        assert '"name": "order-list OrderPlaced"' in dev.stdout
        assert '"trace_id": "0x4bf92f3577b34da6a3ce929d0e0e4736"' in dev.stdout


def test_an_unknown_exporter_starts_nothing(tmp_path: Path) -> None:
    result = whence("web", "--port", "0", "--traces", "fax", cwd=tmp_path, env=DOMAIN)
    assert result.returncode == 1
    assert "no exporter named 'fax' here" in result.stderr
    assert not (tmp_path / "whence-data").exists()
