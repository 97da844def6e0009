"""``whence reactions`` beside a worker: what it lists, and what it says of what is not there."""

import json
from pathlib import Path

import httpx

from tests.cli.program import ORDERS, Program, eventually, whence

ITEMS = [{"sku": "tea", "quantity": 2, "price": 450}]
# Its reaction to a box cannot be made, as if that were its code; its view is in a database.
BOXES = """
from typing import Self

from sqlalchemy import Column, MetaData, String, Table

from whence import Aggregate, Domain, Event, Recorded, command, on, replace
from whence.reactions import Reaction, Then, reacts
from whence.sql import Sql, SqlProjection


class Packed(Event):
    pass


class Box(Aggregate[Packed], plural="boxes"):
    packed: int = 0

    @command
    def pack(self) -> Packed:
        return Packed()

    def apply(self, event: Packed) -> Self:
        return replace(self, packed=self.packed + 1)


rows = Table("boxes", MetaData(), Column("id", String(100), primary_key=True))


class Boxes(SqlProjection, tables=[rows]):
    @on(Packed)
    def packed(self, event: Packed, record: Recorded, sql: Sql) -> None:
        sql.put(rows, {"id": record.id})


class Labels(Reaction):
    @reacts(Packed)
    def packed(self, event: Packed, record: Recorded, then: Then) -> None:
        raise ArithmeticError("out of labels")


domain = Domain(aggregates=[Box], projections=[Boxes], reactions=[Labels])
"""


def listed(what: str, cwd: Path, env: dict[str, str]) -> list[dict[str, object]]:
    """What ``whence reactions`` lists as JSON."""
    found: list[dict[str, object]] = json.loads(
        whence("reactions", what, "--json", cwd=cwd, env=env).stdout
    )
    return found


def test_it_shows_how_far_they_are_and_which_timers_wait(tmp_path: Path) -> None:
    with Program("dev", ORDERS, "--port", "0", cwd=tmp_path) as dev:
        base = dev.base
        for id_, items in (("42", ITEMS), ("43", [ITEMS[0] | {"price": 0}])):
            body = {"user_id": "ada", "items": items}
            assert httpx.post(f"{base}/orders/{id_}/place", json=body).status_code == 201
        eventually(lambda: httpx.get(f"{base}/orders/43").json()["state"]["approved"], "approval")
        env = {"WHENCE_DOMAIN": ORDERS}

        eventually(lambda: listed("timers", tmp_path, env), "a timer")
        (timer,) = listed("timers", tmp_path, env)
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


def test_what_is_parked_is_told_in_the_words_of_reactions(tmp_path: Path) -> None:
    (tmp_path / "boxes.py").write_text(BOXES)
    # Nobody needs the database of the views for it.
    env = {"WHENCE_DOMAIN": "boxes:domain", "WHENCE_SQL_URL": "postgresql://127.0.0.1:1/none"}
    with Program("dev", "boxes:domain", "--port", "0", cwd=tmp_path) as dev:
        assert httpx.post(f"{dev.base}/boxes/red/pack", json={}).status_code == 201

        eventually(lambda: listed("parked", tmp_path, env), "the event to be parked")
        (one,) = listed("parked", tmp_path, env)
        table = whence("reactions", "parked", cwd=tmp_path, env=env)
        failed = whence("reactions", "retry", "labels", "box/red", cwd=tmp_path, env=env)
        assert dev.end() == 0
    asked = whence("reactions", "retry", cwd=tmp_path, env=env)

    assert (one["reaction"], one["aggregate"], one["event"]) == ("labels", "box/red", "Packed")
    assert table.stdout.split()[:2] == ["reaction", "aggregate"]
    assert (failed.returncode, failed.stderr) == (1, "")
    assert "labels: box/red is parked at version 1: ArithmeticError" in failed.stdout
    assert (asked.returncode, asked.stderr) == (1, "")
    assert 'is done as soon as a worker does ("whence reactions parked" shows it)' in asked.stdout
