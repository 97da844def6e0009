"""What becomes of an answer that no append.lua of this release gives."""

import pytest

from tests.store.domain import Opened, account, append_of
from whence.store.append import parse_answers
from whence.store.errors import CorruptStore
from whence.store.keys import Keys

COMMITTED = [b"committed", 1, 1, 0]


@pytest.mark.parametrize(
    "answers", [None, b"OK", [], COMMITTED, [*COMMITTED, *COMMITTED, None]], ids=repr
)
def test_an_answer_of_another_shape_is_an_error_of_each_append(answers: object) -> None:
    appends = [append_of(account(id_), 0, Opened("ann")) for id_ in ("1", "2")]

    one, two = parse_answers(Keys("whence", 4), appends, answers)

    assert isinstance(one, CorruptStore)
    assert isinstance(two, CorruptStore)
    assert "which this release cannot read" in str(one)


def test_an_answer_with_another_word_is_an_error_of_its_append() -> None:
    appends = [append_of(account(id_), 0, Opened("ann")) for id_ in ("1", "2")]

    one, two = parse_answers(Keys("whence", 4), appends, [*COMMITTED, b"postponed", 1, 1, 0])

    assert not isinstance(one, Exception)
    assert "append.lua answered (b'postponed', 1, 1)" in str(two)
