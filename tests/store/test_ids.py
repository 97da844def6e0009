"""Names that are safe in keys, and partitions that stay where they are for ever."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whence.store.errors import InvalidId, InvalidSetting
from whence.store.ids import CommandIds, StreamId, check_id, kebab
from whence.store.keys import Keys

HOSTILE = [
    "",
    "a" * 129,
    "{a}",
    "a:b",
    "a/b",
    "\ufffd",
    "a\0",
    "a\n",
    "a\r\n",
    "ä",
    " ",
    "a b",
    "%ff",
]


@pytest.mark.parametrize("value", HOSTILE)
def test_what_could_leave_its_key_is_no_id(value: str) -> None:
    with pytest.raises(InvalidId, match="is not a valid id") as caught:
        check_id(value)
    assert caught.value.field == "id"


@given(st.from_regex(r"[A-Za-z0-9._~-]{1,128}", fullmatch=True))
def test_every_other_id_is_kept_as_it_is(value: str) -> None:
    assert check_id(value) == value
    assert StreamId.parse(str(StreamId("order", value))) == StreamId("order", value)


def test_the_key_grammar_is_frozen() -> None:
    """Golden: a change here means that no released version can read the new store."""
    keys = Keys("shop", 64)
    order = StreamId("order", "42")

    assert keys.partition(order) == 48
    assert keys.stream(order) == "{shop:048}:e:order:42"
    assert keys.feed(48) == "{shop:048}:feed"
    assert keys.lease(48, "order-list") == "{shop:048}:lease:order-list"
    assert keys.checkpoint(48, "order-list") == "{shop:048}:cp:order-list"
    assert keys.view(48, "order-list") == "{shop:048}:view:order-list"


@given(st.from_regex(r"[A-Za-z0-9._~-]{1,128}", fullmatch=True))
def test_a_stream_lies_in_the_slot_of_its_feed(value: str) -> None:
    keys = Keys("shop", 64)
    stream = StreamId("order", value)

    tag = keys.stream(stream).partition("}")[0]
    assert keys.feed(keys.partition(stream)).startswith(tag + "}")


@pytest.mark.parametrize("namespace", ["", "A", "a:b", "{a}", "a" * 33])
def test_a_namespace_that_could_leave_its_keys_is_refused(namespace: str) -> None:
    with pytest.raises(InvalidSetting, match="namespace"):
        Keys(namespace, 64)


@pytest.mark.parametrize("partitions", [0, -1, 1001])
def test_an_impossible_partition_count_is_refused(partitions: int) -> None:
    with pytest.raises(InvalidSetting, match="choose 1 to 1000"):
        Keys("shop", partitions)


def test_command_ids_do_not_repeat() -> None:
    one, other = CommandIds(), CommandIds()
    made = [ids.next() for ids in (one, other) for _ in range(1000)]

    assert len(set(made)) == 2000
    assert all(check_id(command_id) == command_id for command_id in made)


def test_command_ids_are_numbers_that_a_server_keeps_in_few_bytes() -> None:
    made = [CommandIds().next() for _ in range(1000)]

    assert all(str(int(command_id)) == command_id for command_id in made)
    assert all(2**62 <= int(command_id) < 2**63 - 2**39 for command_id in made)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("Order", "order"), ("OrderList", "order-list"), ("HTTPCall", "http-call"), ("A1B", "a1-b")],
)
def test_class_names_become_names_in_keys(name: str, expected: str) -> None:
    assert kebab(name) == expected
