"""How values and moments read on a page."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from whence.web.explorer.text import milliseconds, moment, value, visible


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("a", '"a"'),
        (None, "null"),
        ((1, 2), "[1, 2]"),
        ({}, "{}"),
        ("\u202e\x00é", '"\\u202e\\u0000é"'),
        (
            {"items": [{"sku": "x" * 30}, {"sku": "y" * 30}]},
            '{\n  "items": [\n    {"sku": "'
            + "x" * 30
            + '"},\n    {"sku": "'
            + "y" * 30
            + '"}\n  ]\n}',
        ),
    ],
)
def test_a_value_is_json_that_fits(given: Any, shown: str) -> None:
    assert value(given) == shown


def test_a_long_value_is_cut_and_says_how_long_it_is() -> None:
    assert value("x" * 5_000).endswith("… (5,002 characters)")
    assert len(value(list(range(50_000)))) < 1_100
    deep: Any = []
    for _ in range(400):
        deep = [deep]
    assert value(deep).startswith("[\n  [\n")


def test_nothing_is_hidden_in_a_text() -> None:
    assert visible("a\u202eb\u200bc\rd\ne") == "a\\u202eb\\u200bc\\rd\ne"


def test_moments_are_of_utc_and_rounded_up_where_they_bound() -> None:
    when = datetime(2026, 1, 31, 12, 0, 0, 1, tzinfo=UTC)
    assert moment(when) == "2026-01-31 12:00:00.000 UTC"
    assert milliseconds(when) == milliseconds(when - timedelta(microseconds=1)) + 1
