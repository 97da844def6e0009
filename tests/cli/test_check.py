"""``whence check``: each thing that it must find is planted here, on a line that it must name."""

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from tests.cli.program import ORDERS, PROJECT, whence
from whence.cli import main
from whence.cli.annotations import as_github, as_text
from whence.store.finding import Finding, Place
from whence.store.naming import in_past_tense

HEAD = """\
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal, NamedTuple

from msgspec import Struct

from whence import Aggregate, Domain, Event
from whence.store.upcasting import retired, splitter, upcaster

"""
TAIL = """

class Shop(Aggregate[{events}]):
    pass


domain = Domain(aggregates=[Shop], upcasters=[{upcasters}])
"""
FIRST = "class Placed(Event):\n    cents: int\n    note: str = ''\n"

Check = Callable[..., str]


@pytest.fixture
def check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Check]:
    """Check one release after the other, each with the lock that the last one left.

    Gives what is printed. When something is found, it is on the line that ends in "# here".
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.delenv("WHENCE_DOMAIN", raising=False)
    made: list[str] = []

    def run(body: str, *arguments: str, upcasters: str = "", code: int = 1) -> str:
        name = f"release_{len(made)}"
        made.append(name)
        classes = " | ".join(re.findall(r"^class (\w+)\(Event", body, re.MULTILINE))
        source = HEAD + body + TAIL.format(events=classes, upcasters=upcasters)
        (tmp_path / f"{name}.py").write_text(source, encoding="utf-8")
        result = CliRunner().invoke(main, ["check", f"{name}:domain", *arguments])
        assert result.exit_code == code, result.output
        lines = source.splitlines()
        here = [number for number, line in enumerate(lines, 1) if line.endswith("# here")]
        for number in here if code or "warning" in result.output else []:
            assert f"{name}.py:{number}: " in result.output, result.output
        return result.output

    yield run
    for name in made:
        sys.modules.pop(name, None)


@pytest.fixture
def released(check: Check) -> Check:
    """A first release, the events of which may be stored by now."""
    check(FIRST, "--update", code=0)
    return check


def lock() -> dict[str, object]:
    return msgspec.json.decode(Path("events.lock.json").read_bytes(), type=dict[str, object])


class TestTheLock:
    def test_is_asked_for_when_it_is_not_there(self, check: Check) -> None:
        found = check(FIRST)

        assert "there is no events.lock.json" in found
        assert not Path("events.lock.json").exists()

    def test_that_was_written_is_not_complained_about(self, released: Check) -> None:
        assert released(FIRST, code=0) == "1 event, as recorded in events.lock.json\n"

    def test_does_not_change_without_a_reason(self, released: Check) -> None:
        before = Path("events.lock.json").read_bytes()
        released(FIRST, "--update", code=0)

        assert Path("events.lock.json").read_bytes() == before

    @pytest.mark.parametrize(
        "body",
        [
            # Docstrings and the order of fields leave no trace in the bytes.
            'class Placed(Event):\n    """Text."""\n    cents: int\n    note: str = ""\n',
            "class Placed(Event, kw_only=True):\n    note: str = ''\n    cents: int\n",
        ],
    )
    def test_holds_only_what_shows_in_the_bytes(self, released: Check, body: str) -> None:
        released(body, code=0)

    def test_does_not_care_in_which_order_things_stand(self, check: Check) -> None:
        check("class Placed(Event):\n    a: Literal[1, 2] | str\n    b: int\n", "--update", code=0)
        check("class Placed(Event):\n    b: int\n    a: str | Literal[2, 1]\n", code=0)

    @pytest.mark.parametrize("name", ["title", "description", "default", "required", "items"])
    def test_takes_no_name_of_a_field_for_its_own(self, check: Check, name: str) -> None:
        check(f"class Placed(Event):\n    {name}: int\n", "--update", code=0)
        found = check(f"class Placed(Event):\n    {name}: str  # here\n")
        assert f"the field '{name}' was" in found

    def test_does_not_care_how_a_part_is_called(self, check: Check) -> None:
        part = "class {0}(Struct, frozen=True):\n    n: int\n    parts: tuple['{0}', ...] = ()\n\n"
        event = "class Placed(Event):\n    first: {0}\n    title: str = ''\n"
        check((part + event).format("Item"), "--update", code=0)
        check((part + event).format("Line"), code=0)

    def test_wants_to_know_of_new_events_and_versions(self, released: Check) -> None:
        more = FIRST + "\n\nclass Paid(Event):  # here\n    pass\n"
        assert "Paid of schema version 1 is not in events.lock.json" in released(more)
        released(more, "--update", code=0)
        released(more, code=0)

        second = "class Placed(Event, version=2):  # here\n    cents: int\n    by: str\n"
        chain = "upcaster(Placed, version=1)(dict), retired('Paid')"
        assert "Placed of schema version 2 is not in" in released(second, upcasters=chain)
        released(second, "--update", upcasters=chain, code=0)
        placed = msgspec.to_builtins(lock()["events"])["Placed"]["versions"]
        assert placed.keys() == {"1", "2"}

    def test_takes_a_new_field_with_a_default_when_it_is_recorded(self, released: Check) -> None:
        more = FIRST + "    till: int = 0  # here\n"
        assert "Placed: the field 'till' is new; record it with" in released(more)
        released(more, "--update", code=0)
        released(more, code=0)

    def test_may_be_in_another_place(self, check: Check) -> None:
        Path("pyproject.toml").write_text('[tool.whence]\nlock = "a.json"\n', encoding="utf-8")
        check(FIRST, "--update", code=0)
        check(FIRST, "--update", "--lock", "b.json", code=0)

        assert Path("a.json").read_bytes() == Path("b.json").read_bytes()
        check(FIRST, code=0)

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("{", "events.lock.json cannot be read as a lock of events"),
            ('{"events": {}, "format": 2}', "is a lock of format 2, and this release knows 1"),
        ],
    )
    def test_that_is_none_is_refused(self, check: Check, text: str, message: str) -> None:
        Path("events.lock.json").write_text(text, encoding="utf-8")
        assert message in check(FIRST)


CHANGES = [
    ("class Placed(Event):\n    cents: str  # here\n    note: str = ''\n", "'cents' was {"),
    ("class Placed(Event):  # here\n    cents: int\n", "the field 'note' is gone"),
    (FIRST.replace("(Event)", "(Event, kw_only=True)") + "    by: str  # here\n",
     "the field 'by' is new and has no default"),
    ("class Placed(Event):\n    cents: int\n    note: str = 'x'  # here\n",
     "the default of 'note' was \"\" and is \"x\""),
    ("class Placed(Event, kw_only=True):\n    cents: int\n    note: str  # here\n",
     "the field 'note' has lost its default"),
    ("class Placed(Event):\n    cents: int | None  # here\n    note: str = ''\n", "'cents' was"),
    ("class Placed(Event, rename='upper'):  # here\n    cents: int\n    note: str = ''\n",
     "the field 'cents' is gone"),
]  # fmt: skip


class TestAChangeWithoutANewVersion:
    @pytest.mark.parametrize(("body", "message"), CHANGES)
    def test_is_an_error(self, released: Check, body: str, message: str) -> None:
        found = released(body)

        assert "error: Placed has changed without a new schema version" in found
        assert message in found
        assert "make it version=2, with an upcaster from version 1" in found

    def test_is_not_recorded(self, released: Check) -> None:
        before = Path("events.lock.json").read_bytes()
        released("class Placed(Event):\n    cents: str  # here\n", "--update")

        assert Path("events.lock.json").read_bytes() == before

    def test_is_found_in_the_parts_of_an_event(self, check: Check) -> None:
        body = (
            "class Item(Struct, frozen=True):\n    n: {}\n\n\n"
            "class Placed(Event):\n    items: tuple[Item, ...]{}\n"
        )
        check(body.format("int", ""), "--update", code=0)
        assert "the field 'items[].n' was" in check(body.format("str", "  # here"))

    def test_is_found_in_the_default_of_a_part(self, check: Check) -> None:
        body = (
            "class Item(Struct, frozen=True):\n    n: int = {}\n\n\n"
            "class Placed(Event):\n    items: tuple[Item, ...]{}\n"
        )
        check(body.format(1, ""), "--update", code=0)
        assert "the default of 'items[].n' was 1 and is 2" in check(body.format(2, "  # here"))


class TestAnEventThatIsGone:
    paid = "class Paid(Event):\n    by: str\n"

    def test_has_to_be_read_by_something(self, released: Check) -> None:
        found = released(self.paid)
        assert re.search(
            r"events.lock.json:3: error: Placed of schema version 1 may be stored, and nothing in "
            r"this domain reads it: bring its class back",
            found,
        )

    @pytest.mark.parametrize(
        ("body", "upcasters"),
        [
            (paid, "retired('Placed')"),
            (paid, "splitter('Placed', version=1, into={Paid: 1})(lambda old: [])"),
            (FIRST.replace("Placed(Event)", "Ordered(Event, aliases=('Placed',))"), ""),
        ],
    )
    def test_may_be_retired_split_or_renamed(
        self, released: Check, body: str, upcasters: str
    ) -> None:
        found = released(body, upcasters=upcasters)
        assert "events.lock.json:3: error: the name Placed has no class any more" in found
        released(body, "--update", upcasters=upcasters, code=0)
        released(body, upcasters=upcasters, code=0)

    def test_keeps_its_schema_under_its_new_name(self, released: Check) -> None:
        body = "class Ordered(Event, aliases=('Placed',)):\n    cents: str  # here\n"
        assert "Ordered has changed without a new schema version" in released(body)

    def test_that_has_two_names_is_reported_once(self, released: Check) -> None:
        body = FIRST.replace("Placed(Event)", "Ordered(Event, aliases=('Placed',))")
        released(body, "--update", code=0)
        found = released(body.replace("cents: int", "cents: str  # here"))
        assert len(found.splitlines()) == 1

    @pytest.mark.parametrize("version", [1, 2])
    def test_does_not_give_its_name_to_another(self, released: Check, version: int) -> None:
        released(self.paid, "--update", upcasters="retired('Placed')", code=0)
        other = f"class Placed(Event, version={version}):  # here\n    by: str\n"
        chain = "retired('Placed')" if version == 2 else ""
        assert "it cannot be used again for another one" in released(other, upcasters=chain)

    def test_may_come_back_as_it_was(self, released: Check) -> None:
        released(self.paid, "--update", upcasters="retired('Placed')", code=0)
        both = FIRST + "\n\n" + self.paid
        assert "the name Placed has a class again" in released(both)
        released(both, "--update", code=0)
        released(both, code=0)


class TestAVersion:
    def test_does_not_go_back(self, check: Check) -> None:
        second = FIRST.replace("(Event)", "(Event, version=2)")
        check(second, "--update", upcasters="upcaster(Placed, version=1)(dict)", code=0)
        found = check(FIRST.replace(":", ":  # here", 1))
        assert "Placed of schema version 2 may be stored, and the class Placed is of ver" in found

    def test_without_an_upcaster_is_a_domain_that_cannot_start(self, released: Check) -> None:
        second = FIRST.replace("(Event)", "(Event, version=2)")
        assert "error: Placed has no upcaster from schema version 1" in released(second)
        assert released(second, "--annotations", "github").startswith("::error::Placed has no")


PART = "class Placed(Event):\n    item: Item\n"
RULES = [
    ("class PlaceOrder(Event):  # here\n    pass\n", "error: PlaceOrder is not in the past tense"),
    (
        "class Item(Struct):  # here\n    n: int\n\n\n" + PART,
        "error: Item, which is a part of Placed, can be changed: make it frozen",
    ),
    (
        "class Item(Struct, frozen=True, array_like=True):  # here\n    n: int\n\n\n" + PART,
        "error: Item, which is a part of Placed, is array_like",
    ),
    (
        "class Item(Struct, frozen=True, forbid_unknown_fields=True):  # here\n    n: int\n\n\n"
        + PART,
        "error: Item, which is a part of Placed, forbids unknown fields",
    ),
    (
        "class Item(NamedTuple):  # here\n    n: int\n\n\n" + PART,
        "error: Item, which is a part of Placed, is stored as an array",
    ),
    (
        "@dataclass\nclass Item:  # here\n    n: int\n\n\n" + PART,
        "error: Item, which is a part of Placed, can be changed",
    ),
    (
        "class Item(Struct):  # here\n    n: int\n\n\n"
        "class Placed(Event):\n    items: dict[str, tuple[Item | None, ...]]\n",
        "error: Item, which is a part of Placed, can be changed",
    ),
    (
        "class Placed(Event):\n    n: int\n    more: Any  # here\n",
        "warning: Placed.more may be any",
    ),
    (
        "class Placed(Event):\n    n: dict[str, list[int]]  # here\n",
        "warning: Placed.n can be changed: make it a tuple",
    ),
    *[
        (
            f"class Placed(Event):\n    n: float\n    {name}: float | None  # here\n",
            f"warning: Placed.{name} looks like money and is a float",
        )
        for name in ("price", "unit_prices", "total_cost", "balance_after", "amount")
    ],
]


class TestTheRulesOfTheDesign:
    @pytest.mark.parametrize(("body", "message"), RULES)
    def test_are_checked(self, check: Check, body: str, message: str) -> None:
        code = 1 if message.startswith("error") else 0
        found = check(body, "--update", code=code)
        assert message in found
        assert len(found.splitlines()) == (1 if code else 2)

    @pytest.mark.parametrize(
        "body",
        [
            "class Refund(Event, present_tense='as the bank calls it'):\n    pass\n",
            "class Placed(Event):\n    price: Decimal\n    total: int\n    coast: float\n",
            "@dataclass(frozen=True)\nclass Item:\n    n: int\n\n\n" + PART,
            "class Item(Struct, frozen=True):\n    n: frozenset[int]\n\n\n" + PART,
        ],
    )
    def test_leave_good_events_alone(self, check: Check, body: str) -> None:
        assert len(check(body, "--update", code=0).splitlines()) == 1

    def test_report_a_class_once(self, check: Check) -> None:
        item = "class Item(Struct):  # here\n    n: int\n\n\n"
        found = check(item + PART + "\n\n" + PART.replace("Placed", "Paid"), "--update")
        assert len(found.splitlines()) == 1


@pytest.mark.parametrize(
    "name",
    [
        "OrderPlaced",
        "Sent",
        "InvoicePaid",
        "UserSignedUp",
        "SessionTimedOut",
        "ETagChanged",
        "PasswordReset",
        "Lost",
    ],
)
def test_what_has_happened_is_in_the_past_tense(name: str) -> None:
    assert in_past_tense(name)


@pytest.mark.parametrize(
    "name", ["PlaceOrder", "Order", "OrderPlacing", "SendFeed", "Up", "SpeedUp", "PaidInvoice", "_"]
)
def test_what_is_to_happen_is_not(name: str) -> None:
    assert not in_past_tense(name)


class TestAnnotations:
    def test_for_github_name_file_and_line(self, check: Check) -> None:
        found = check("class Refund(Event):\n    pass\n", "--update", "--annotations", "github")
        line = HEAD.count("\n") + 1
        assert found.startswith(f"::error file=release_0.py,line={line}::Refund is not in the past")

    def test_escape_what_would_end_a_property_or_a_line(self, tmp_path: Path) -> None:
        place = Place(tmp_path / "a:b,c%\n.py", 3)
        found = as_github(Finding("warning", "50 %, or:\r\nnot", place))
        assert found.startswith("::warning file=")
        assert found.endswith("/a%3Ab%2Cc%25%0A.py,line=3::50 %25, or:%0D%0Anot")

    def test_may_have_no_place(self) -> None:
        assert as_github(Finding("error", "x")) == "::error::x"
        assert as_text(Finding("error", "x")) == "error: x"
        assert as_text(Finding("error", "x", Place(Path("/a.py")))) == "/a.py: error: x"


def test_the_orders_are_as_recorded() -> None:
    result = whence("check", ORDERS, cwd=PROJECT)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == "5 events, as recorded in examples/orders/events.lock.json\n"


def test_a_check_loads_no_server(tmp_path: Path) -> None:
    result = whence("check", ORDERS, cwd=tmp_path, env={"PYTHONPROFILEIMPORTTIME": "1"})
    assert "whence.store.lock" in result.stderr
    assert "uvicorn" not in result.stderr
    assert "whence.web" not in result.stderr
