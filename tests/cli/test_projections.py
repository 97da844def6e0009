"""``whence projections``: their standing, and a view made anew while a worker keeps it."""

import asyncio
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx

from tests.cli.program import ORDERS, PATIENCE, Program, environment, eventually, whence
from whence.store.embedded import running_at
from whence.store.eventstore import open_store

DOMAIN = {"WHENCE_DOMAIN": ORDERS}
ORDER_COUNT = 30
BODY = {"user_id": "ada", "items": [{"sku": "tea", "quantity": 2, "price": 450}]}


def page(base: str) -> dict[str, Any]:
    found: dict[str, Any] = httpx.get(f"{base}/views/order-list").json()
    return found


def filled(program: Program) -> dict[str, Any]:
    """Place some orders, and return the view of all of them."""
    with httpx.Client(base_url=program.base) as client:
        for number in range(ORDER_COUNT):
            assert client.post(f"/orders/{number}/place", json=BODY).status_code == 201
    eventually(lambda: page(program.base)["total"] == ORDER_COUNT, "the view")
    return page(program.base)


def test_the_table_counts_what_is_applied_and_what_the_worker_has(tmp_path: Path) -> None:
    with Program("dev", ORDERS, "--port", "0", cwd=tmp_path) as program:
        filled(program)

        def standing() -> list[list[str]]:
            result = whence("projections", cwd=tmp_path, env=DOMAIN)
            assert result.returncode == 0, result.stderr
            return [line.split() for line in result.stdout.splitlines()]

        eventually(lambda: [row[2] for row in standing()] == ["lag", "0", "0"], "no lag")
        table = standing()
        assert table[0] == ["projection", "applied", "lag", "parked", "workers", "(partitions)"]
        assert [row[:2] for row in table[1:]] == [["order-list", "30"], ["sales-per-day", "30"]]
        assert all(f":{program.pid}:" in row[4] for row in table[1:])
        assert [row[5:] for row in table[1:]] == [["(64)"], ["(64)"]]


def test_a_rebuilt_view_equals_the_live_one(tmp_path: Path) -> None:
    with Program("dev", ORDERS, "--port", "0", cwd=tmp_path) as program:
        before = filled(program)
        result = whence("projections", "rebuild", "order-list", cwd=tmp_path, env=DOMAIN)
        assert result.returncode == 0, result.stderr
        assert result.stdout.startswith("order-list was rebuilt from 30 events in ")
        assert result.stderr == ""
        assert page(program.base) == before
        httpx.post(f"{program.base}/orders/new/place", json=BODY)
        eventually(lambda: page(program.base)["total"] == ORDER_COUNT + 1, "the worker to go on")
        assert program.end() == 0


def test_a_rebuild_is_taken_back_and_what_is_kept_is_dropped(tmp_path: Path) -> None:
    with Program("dev", ORDERS, "--port", "0", cwd=tmp_path) as program:
        before = filled(program)

        def run(*words: str) -> str:
            result = whence("projections", *words, cwd=tmp_path, env=DOMAIN)
            return f"{result.returncode} {result.stdout}{result.stderr}"

        assert "no previous generation" in run("rollback", "order-list")
        assert "not being built anew" in run("abandon", "order-list")
        assert "Readers see generation 2 now" in run("rebuild", "order-list")
        said = run("rollback", "order-list")
        assert said.startswith("0 order-list was rolled back to generation 1, which 0 events have")
        assert page(program.base) == before
        assert run("drop-previous", "order-list").startswith("0 Generation 2 of order-list was")
        assert run("rollback", "order-list").startswith("1 ")
        assert "generation 3" in run("rebuild", "order-list", "--drop-previous")
        assert run("drop-previous", "order-list").startswith("1 ")
        assert run("rebuild", "order-lits").startswith("1 ")
        assert page(program.base) == before


def test_what_differs_is_printed_and_not_switched_to(tmp_path: Path) -> None:
    with Program("dev", ORDERS, "--port", "0", cwd=tmp_path) as program:
        before = filled(program)
        result = whence(
            "projections", "rebuild", "order-list", "--verify", cwd=tmp_path, env=DOMAIN
        )
        assert result.returncode == 0, result.stderr
        assert "0 of 30 rows differ" in result.stdout
        ghost = b'{"user_id":"ghost","status":"pending","total":1,"placed_at":"now"}'
        plant(tmp_path, ghost)
        result = whence(
            "projections", "rebuild", "order-list", "--verify", cwd=tmp_path, env=DOMAIN
        )
        assert result.returncode == 1, result.stderr
        assert "ghost" in result.stdout
        assert "1 of 31 rows differ" in result.stdout
        assert "Readers do not see generation 3 yet" in result.stdout
        table = whence("projections", cwd=tmp_path, env=DOMAIN).stdout
        assert "order-list@3 is being built; readers see order-list as before" in table
        result = whence("projections", "abandon", "order-list", cwd=tmp_path, env=DOMAIN)
        assert result.stdout.startswith("Generation 3 of order-list was dropped")
        assert page(program.base)["total"] == before["total"] + 1


def plant(folder: Path, row: bytes) -> None:
    """Put a row that no event has made into the live generation, which is the second."""
    url = running_at(folder / "whence-data")
    assert url is not None

    async def put() -> None:
        async with open_store(url, durability="relaxed") as store:
            await store.ask("HSET", store.keys.view(0, "order-list@2"), "ghost", row)

    asyncio.run(put())


def test_a_terminal_sees_the_progress(tmp_path: Path) -> None:
    terminal, stderr = pty.openpty()
    command = [sys.executable, "-m", "whence", "projections", "rebuild", "order-list"]
    try:
        subprocess.run(
            command,
            cwd=tmp_path,
            env=environment(**DOMAIN, WHENCE_URL="memory://", TERM="xterm", COLUMNS="100"),
            stdout=subprocess.PIPE,
            stderr=stderr,
            timeout=PATIENCE,
            check=True,
        )
        assert b"Rebuilding order-list" in os.read(terminal, 10_000)
    finally:
        os.close(stderr)
        os.close(terminal)
