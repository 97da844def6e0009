"""``whence projections parked``, ``retry`` and ``skip``, with a worker that cannot and then can."""

import json
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.cli.program import Program, eventually, whence

# Its projection cannot count what a file says it cannot, as if that were its code.
DOMAIN = """
from pathlib import Path
from typing import Self

from msgspec import Struct

from whence import Aggregate, Domain, Event, Projection, Recorded, Views, command, on, replace


class Counted(Event):
    amount: int


class Box(Aggregate[Counted], plural="boxes"):
    total: int = 0

    @command
    def count(self, amount: int) -> Counted:
        return Counted(amount)

    def apply(self, event: Counted) -> Self:
        return replace(self, total=self.total + event.amount)


class Total(Struct, frozen=True):
    total: int = 0


class Totals(Projection[Total]):
    @on(Counted)
    def counted(self, event: Counted, record: Recorded, views: Views[Total]) -> None:
        if str(event.amount) in Path("broken").read_text().split():
            raise ArithmeticError(f"cannot count {event.amount}")
        views.update(record.id, lambda row: Total(row.total + event.amount), start=Total())


domain = Domain(aggregates=[Box], projections=[Totals])
"""


class Boxes:
    """The domain in a folder, with a program that runs it."""

    def __init__(self, folder: Path, program: Program) -> None:
        self.folder = folder
        self.program = program

    def breaks_at(self, *amounts: int) -> None:
        (self.folder / "broken").write_text(" ".join(map(str, amounts)))

    def count(self, box: str, *amounts: int) -> None:
        for amount in amounts:
            done = httpx.post(f"{self.program.base}/boxes/{box}/count", json={"amount": amount})
            assert done.status_code in {200, 201}, done.text

    def totals(self) -> dict[str, int]:
        rows = httpx.get(f"{self.program.base}/views/totals").json()["rows"]
        return {row["key"]: row["total"] for row in rows}

    def projections(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        env = {"WHENCE_DOMAIN": "boxes:domain"}
        return whence("projections", *arguments, cwd=self.folder, env=env)

    def parked(self) -> list[dict[str, Any]]:
        result = self.projections("parked", "--json")
        found: list[dict[str, Any]] = json.loads(result.stdout)
        assert result.returncode == (1 if found else 0), result.stderr
        return found


@pytest.fixture
def boxes(tmp_path: Path) -> Any:
    (tmp_path / "boxes.py").write_text(DOMAIN)
    (tmp_path / "broken").write_text("")
    with Program("dev", "boxes:domain", "--port", "0", cwd=tmp_path) as program:
        program.until_says("http://")
        yield Boxes(tmp_path, program)


def test_what_is_parked_is_listed_retried_and_gone(boxes: Boxes) -> None:
    assert boxes.projections("parked").stdout == "nothing is parked\n"
    boxes.breaks_at(5)
    boxes.count("red", 1, 5, 10)
    boxes.count("blue", 7)
    eventually(lambda: boxes.totals() == {"red": 1, "blue": 7}, "the rest of the view")

    (parked,) = boxes.parked()
    assert parked.pop("since")
    assert parked.pop("tries") >= 1
    assert parked == {
        "projection": "totals",
        "aggregate": "box/red",
        "version": 2,
        "position": 2,
        "event": "Counted",
        "waiting": 2,
        "reason": "ArithmeticError: cannot count 5",
    }
    table = boxes.projections("parked", "totals")
    assert table.returncode == 1
    assert "ArithmeticError: cannot count 5" in table.stdout
    standing = boxes.projections()
    assert [line.split()[3] for line in standing.stdout.splitlines()[:2]] == ["parked", "1"]
    assert '"whence projections parked" says what is parked' in standing.stdout

    failed = boxes.projections("retry", "totals", "box/red")
    assert failed.returncode == 1
    assert "box/red is parked at version 2: ArithmeticError: cannot count 5" in failed.stdout

    boxes.breaks_at()
    done = boxes.projections("retry")
    assert done.returncode == 0, done.stderr + done.stdout
    assert boxes.totals() == {"red": 16, "blue": 7}
    assert boxes.parked() == []


def test_what_is_skipped_is_shown_with_its_reason(boxes: Boxes) -> None:
    boxes.breaks_at(5)
    boxes.count("red", 1, 5, 10)
    eventually(boxes.parked, "the event to be parked")
    nameless = boxes.projections("skip", "totals", "box/red")
    assert nameless.returncode == 2
    assert "--reason" in nameless.stderr
    done = boxes.projections("skip", "totals", "box/red", "--reason", "counted by a child")
    assert done.returncode == 0, done.stderr + done.stdout
    assert done.stdout == "totals: all events of box/red are applied\n"
    assert boxes.totals() == {"red": 11}
    shown = boxes.projections("parked", "--skipped")
    assert shown.returncode == 0
    assert "counted by a child" in shown.stdout
    assert "ArithmeticError: cannot count 5" in shown.stdout

    boxes.breaks_at()
    boxes.projections("rebuild", "totals")
    eventually(lambda: boxes.totals() == {"red": 11}, "the rebuilt view")
    boxes.projections("rebuild", "totals", "--forget-skips")
    eventually(lambda: boxes.totals() == {"red": 16}, "the view with all events")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("retry", "totals", "box/red"), "no event of box/red is parked by projection totals"),
        (("retry", "totals", "red"), "'red' does not name an aggregate: write it as TYPE/ID"),
        (("retry", "nothing"), "there is no projection 'nothing'"),
        (("parked", "nothing"), "there is no projection 'nothing'"),
        (("skip", "totals", "box/r{d", "--reason", "x"), "is not a valid id"),
        (("skip", "totals", "box/red", "--reason", ""), "is not a reason that others can read"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_sentence(
    tmp_path: Path, arguments: tuple[str, ...], sentence: str
) -> None:
    (tmp_path / "boxes.py").write_text(DOMAIN)
    env = {"WHENCE_DOMAIN": "boxes:domain", "WHENCE_URL": "memory://"}
    result = whence("projections", *arguments, cwd=tmp_path, env=env)
    assert result.returncode == 1
    assert sentence in result.stderr
    assert len(result.stderr.splitlines()) == 1
