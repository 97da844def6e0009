"""What the importer makes of single rows, good and bad."""

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest

from examples.orders.domain import (
    Order,
    OrderApproved,
    OrderCancelled,
    OrderDelivered,
    OrderPlaced,
    OrderShipped,
)
from examples.orders.history import COLUMNS, olist
from whence.actors.facts import History
from whence.store.errors import InvalidInput

HEAD = ",".join(COLUMNS) + "\n"
GOOD = "a1,c1,delivered,1/2/2018 10:00,1/2/2018 10:05,1/3/2018 9:00,1/9/2018 17:30\n"

Read = Callable[[str], list[History]]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """The histories in a text with the usual first line."""

    def histories(text: str) -> list[History]:
        file = tmp_path / "orders.csv"
        file.write_text(HEAD + text, encoding="utf-8")
        return list(olist(file))

    return histories


def outline(history: History) -> list[tuple[str, str]]:
    return [
        (type(fact.event).__name__, fact.occurred_at.strftime("%d %H:%M")) for fact in history.facts
    ]


def test_a_row_becomes_its_facts_in_their_order(read: Read) -> None:
    (history,) = read(GOOD)
    assert (history.aggregate, history.id) == (Order, "a1")
    assert [fact.event for fact in history.facts] == [
        OrderPlaced("c1", ()),
        OrderApproved(),
        OrderShipped(""),
        OrderDelivered(),
    ]
    assert [fact.occurred_at.isoformat() for fact in history.facts] == [
        "2018-01-02T10:00:00+00:00",
        "2018-01-02T10:05:00+00:00",
        "2018-01-03T09:00:00+00:00",
        "2018-01-09T17:30:00+00:00",
    ]
    assert all(not fact.metadata.notes for fact in history.facts)


def test_an_approval_after_the_hand_over_stays_after_it(read: Read) -> None:
    (history,) = read("a1,c1,shipped,1/2/2018 10:00,1/4/2018 8:00,1/3/2018 9:00,\n")
    assert outline(history) == [
        ("OrderPlaced", "02 10:00"),
        ("OrderShipped", "03 09:00"),
        ("OrderApproved", "04 08:00"),
    ]


def test_facts_of_one_moment_stand_in_the_order_of_an_orders_life(read: Read) -> None:
    moment = "1/2/2018 10:00"
    (history,) = read(f"a1,c1,delivered,{moment},{moment},{moment},{moment}\n")
    assert [name for name, _ in outline(history)] == [
        "OrderPlaced",
        "OrderApproved",
        "OrderShipped",
        "OrderDelivered",
    ]


def test_a_hand_over_before_the_purchase_is_moved_to_it_and_says_so(read: Read) -> None:
    (history,) = read("a1,c1,shipped,1/2/2018 10:00,1/2/2018 10:05,1/2/2018 9:00,\n")
    assert outline(history)[:2] == [("OrderPlaced", "02 10:00"), ("OrderShipped", "02 10:00")]
    assert history.facts[1].metadata.notes["inferred"] == "occurred_at"
    assert "2018-01-02T09:00" in history.facts[1].metadata.notes["basis"]


def test_a_cancellation_comes_last_and_says_what_is_inferred(read: Read) -> None:
    (history,) = read("a1,c1,canceled,1/2/2018 10:00,1/2/2018 10:05,1/3/2018 9:00,1/9/2018 17:30\n")
    assert outline(history)[-2:] == [("OrderDelivered", "09 17:30"), ("OrderCancelled", "09 17:30")]
    last = history.facts[-1]
    assert last.event == OrderCancelled("not recorded", "not recorded")
    assert last.metadata.notes["inferred"] == "occurred_at, reason, cancelled_by"


def test_a_delivery_without_a_moment_comes_last_and_says_so(read: Read) -> None:
    (history,) = read("a1,c1,delivered,1/2/2018 10:00,1/2/2018 10:05,1/3/2018 9:00,\n")
    assert outline(history)[-1] == ("OrderDelivered", "03 09:00")
    assert history.facts[-1].metadata.notes["inferred"] == "occurred_at"


@pytest.mark.parametrize("status", ["unavailable", "invoiced", "processing"])
def test_other_statuses_add_no_fact(read: Read, status: str) -> None:
    (history,) = read(f"a1,c1,{status},1/2/2018 10:00,,,\n")
    assert outline(history) == [("OrderPlaced", "02 10:00")]


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ("a2,c1,lost,1/2/2018 10:00,,,\n", "line 3: 'lost' is not a status: delivered, "),
        ("a2,c1,delivered,,,,\n", "line 3: '' in order_purchase_timestamp is not a moment"),
        ("a2,c1,shipped,31/12/2018 1:00,,,\n", "line 3: '31/12/2018 1:00' in order_purchase_"),
        ("a{2},c1,shipped,1/2/2018 10:00,,,\n", "line 3: 'a{2}' is not a valid order id"),
        (",c1,shipped,1/2/2018 10:00,,,\n", "line 3: '' is not a valid order id"),
        ("a2,c1,shipped\n", "line 3: it has not as many fields as the first line"),
        ("a2,c1,shipped,1/2/2018 10:00,,,,\n", "line 3: it has not as many fields"),
        ('"a2\n', "after line"),
    ],
)
def test_a_bad_line_is_named(read: Read, row: str, sentence: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        read(GOOD + row)
    assert sentence in str(caught.value)


def test_a_packed_file_is_known_by_its_content(tmp_path: Path) -> None:
    file = tmp_path / "orders.csv"
    file.write_bytes(gzip.compress((HEAD + GOOD).encode()))
    assert [history.id for history in olist(file)] == ["a1"]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (gzip.compress((HEAD + GOOD).encode())[:-9], "is damaged after line"),
        (b"\x1f\x8bnothing", "is damaged after line"),
        (b"order_id,\xff\n", "after line 0"),
        (b"", "it has no column 'order_id'"),
        (b"a,b\n1,2\n", "it has no column 'order_id'"),
    ],
)
def test_a_file_of_another_kind_is_refused(tmp_path: Path, content: bytes, sentence: str) -> None:
    file = tmp_path / "orders.csv"
    file.write_bytes(content)
    with pytest.raises(InvalidInput) as caught:
        list(olist(file))
    assert sentence in str(caught.value)
