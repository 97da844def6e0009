"""``whence reactions`` beside a worker: what it lists, and what it says of what is not there."""

import json
from pathlib import Path

import httpx

from tests.cli.program import ORDERS, Program, eventually, whence

ITEMS = [{"sku": "tea", "quantity": 2, "price": 450}]


def test_it_shows_how_far_they_are_and_which_timers_wait(tmp_path: Path) -> None:
    with Program("dev", ORDERS, "--port", "0", cwd=tmp_path) as dev:
        base = dev.base
        for id_, items in (("42", ITEMS), ("43", [ITEMS[0] | {"price": 0}])):
            body = {"user_id": "ada", "items": items}
            assert httpx.post(f"{base}/orders/{id_}/place", json=body).status_code == 201
        eventually(lambda: httpx.get(f"{base}/orders/43").json()["state"]["approved"], "approval")
        env = {"WHENCE_DOMAIN": ORDERS}

        def timers() -> list[dict[str, object]]:
            found = whence("reactions", "timers", "--json", cwd=tmp_path, env=env)
            listed: list[dict[str, object]] = json.loads(found.stdout)
            return listed

        eventually(timers, "a timer")
        (timer,) = timers()
        table = whence("reactions", cwd=tmp_path, env=env).stdout
        parked = whence("reactions", "parked", cwd=tmp_path, env=env)
        unknown = whence("reactions", "timers", "appraisal", cwd=tmp_path, env=env)
        absent = whence("reactions", "retry", "approval", "order/42", cwd=tmp_path, env=env)
        restarted = whence("reactions", "restart", "approval", cwd=tmp_path, env=env)
        assert dev.end() == 0

    assert (timer["timer"], timer["command"]) == ("order/42/approval", "cancel")
    assert timer["cause"] == "order/42@1"
    assert "approval" in table
    assert (parked.stdout, parked.returncode) == ("nothing is parked\n", 0)
    assert "there is no reaction 'appraisal'; there are: approval" in unknown.stderr
    assert "no event of order/42 is parked" in absent.stderr
    assert restarted.stdout == "approval goes on at the end of the log\n"
