"""``whence web`` and ``whence worker``: the parts of ``whence dev`` as processes of their own."""

import signal
from pathlib import Path
from typing import Any

import httpx

from tests.cli.program import ORDERS, Program, alive, eventually, server_pid
from whence.store.embedded import EmbeddedServer

DOMAIN = {"WHENCE_DOMAIN": ORDERS}
ITEMS = [{"sku": "tea", "quantity": 2, "price": 450}]


def place(base: str) -> None:
    body = {"user_id": "ada", "items": ITEMS}
    assert httpx.post(f"{base}/orders/42/place", json=body).status_code == 201


def view(base: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = httpx.get(f"{base}/views/order-list").json()["rows"]
    return rows


def test_web_and_worker_share_the_server_of_the_folder(tmp_path: Path) -> None:
    env = {**DOMAIN, "PORT": "0"}
    with (
        Program("worker", cwd=tmp_path, env=env) as worker,
        Program("web", cwd=tmp_path, env=env) as web,
    ):
        worker.until_says("Working on order-list, sales-per-day")
        place(web.base)
        eventually(lambda: view(web.base), "the view")
        server = server_pid(tmp_path / "whence-data")
        # Whichever came first has started the server, so it goes last.
        first, second = (worker, web) if _owns(worker, tmp_path) else (web, worker)
        assert second.end(signal.SIGTERM) == 0
        assert alive(server)
        assert first.end(signal.SIGTERM) == 0
        assert not alive(server)
        assert (web.stderr, worker.stderr) == ("", "")


def test_they_use_the_server_at_whence_url_and_leave_it_alone(tmp_path: Path) -> None:
    with EmbeddedServer.start(tmp_path / "own") as server:
        env = {**DOMAIN, "WHENCE_URL": server.url}
        with (
            Program("worker", cwd=tmp_path, env=env) as worker,
            Program("web", "--port", "0", cwd=tmp_path, env=env) as web,
        ):
            worker.until_says("Working on")
            place(web.base)
            eventually(lambda: view(web.base), "the view")
            assert web.end() == 0
            assert worker.end() == 0
        assert server.alive()
        assert not (tmp_path / "whence-data").exists()


def test_a_memory_server_needs_no_other_process(tmp_path: Path) -> None:
    env = {**DOMAIN, "WHENCE_URL": "memory://"}
    with Program("web", "--port", "0", cwd=tmp_path, env=env) as web:
        place(web.base)
        assert httpx.get(f"{web.base}/orders/42").json()["version"] == 1
        assert web.end() == 0


def _owns(program: Program, folder: Path) -> bool:
    return f'"starter":{program.pid},' in (folder / "whence-data/whence.lock").read_text()
