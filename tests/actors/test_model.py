"""What may be a domain, and what is said of what may not. Commands are decoded from JSON."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.actors.domain import Counted, Counter, Labelled, model
from whence import Aggregate, Event, command
from whence.actors.model import WriteModel
from whence.store.errors import (
    InvalidCommand,
    InvalidDomain,
    UnknownAggregate,
    UnknownCommand,
)


class Happened(Event):
    pass


def test_a_model_is_read_from_its_classes() -> None:
    kind = model.aggregate("counter")

    assert (kind.name, kind.plural, kind.cls) == ("counter", "counters", Counter)
    assert sorted(kind.commands) == ["count", "count_to", "label_as", "look"]
    assert kind.events == {Counted, Labelled}
    assert model.of_function(Counter.count) == (kind, kind.commands["count"])


def test_names_can_be_chosen() -> None:
    class Person(Aggregate[Happened], type_name="human", plural="people"):
        pass

    kind = WriteModel([Person]).aggregate("human")
    assert (kind.name, kind.plural) == ("human", "people")


def no_events() -> type[Aggregate[Any]]:
    return type("Bare", (Aggregate,), {})


def a_field_without_default() -> type[Aggregate[Any]]:
    class Order(Aggregate[Happened]):
        owner: str

    return Order


def an_async_command() -> type[Aggregate[Any]]:
    async def place(self: Any) -> None: ...

    class Order(Aggregate[Happened]):
        pass

    Order.place = command(place)  # type: ignore
    return Order


def a_parameter_without_type() -> type[Aggregate[Any]]:
    def place(self: Any, what) -> None: ...  # type: ignore

    class Order(Aggregate[Happened]):
        pass

    Order.place = command(place)  # type: ignore
    return Order


def a_parameter_without_name() -> type[Aggregate[Any]]:
    class Order(Aggregate[Happened]):
        @command
        def place(self, *what: int) -> None: ...

    return Order


def a_type_json_cannot_carry() -> type[Aggregate[Any]]:
    class Order(Aggregate[Happened]):
        @command
        def place(self, what: complex) -> None: ...

    return Order


def a_type_name_with_a_colon() -> type[Aggregate[Any]]:
    class Order(Aggregate[Happened], type_name="order:new"):
        pass

    return Order


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (no_events, "does not name its events"),
        (a_field_without_default, "each of its fields needs a default"),
        (an_async_command, "is async"),
        (a_parameter_without_type, "needs a type for its parameter 'what'"),
        (a_parameter_without_name, "must be one with a name"),
        (a_type_json_cannot_carry, "JSON cannot carry"),
        (a_type_name_with_a_colon, "cannot be the name"),
    ],
)
def test_a_class_that_contradicts_itself_is_refused(
    broken: Callable[[], type[Aggregate[Any]]], message: str
) -> None:
    with pytest.raises(InvalidDomain, match=message):
        WriteModel([broken()])


def test_two_aggregates_of_one_name_are_refused() -> None:
    class Other(Aggregate[Happened], type_name="counter"):
        pass

    with pytest.raises(InvalidDomain, match="two aggregates are named 'counter'"):
        WriteModel([Counter, Other])


def test_a_state_cannot_be_mutable() -> None:
    with pytest.raises(InvalidDomain, match="never change"):

        class Order(Aggregate[Happened], frozen=False):  # pyright: ignore
            pass


def test_what_is_not_there_is_named_together_with_what_is() -> None:
    with pytest.raises(UnknownAggregate, match=r"'orders'.*it has|'orders'.*has: counter"):
        model.aggregate("orders")
    with pytest.raises(UnknownCommand, match="no command 'cancel'; it has: count, count_to"):
        model.aggregate("counter").command("cancel")
    with pytest.raises(UnknownCommand, match=r"has: Counter\.count"):
        model.of_function(lambda: None)


class TestDecoding:
    def decode(self, body: bytes, name: str = "label_as") -> dict[str, Any]:
        return model.aggregate("counter").command(name).decode(body)

    def test_arguments_come_from_a_json_object(self) -> None:
        body = b'{"label": "x", "labelled_by": "ann"}'
        assert self.decode(body) == {"label": "x", "labelled_by": "ann", "reason": ""}

    def test_an_empty_body_means_no_arguments(self) -> None:
        assert self.decode(b"", "look") == {}
        assert self.decode(b"", "count") == {"step": 1}

    @pytest.mark.parametrize(
        ("body", "field", "message"),
        [
            (b'{"label": "x"}', "labelled_by", "missing required field"),
            (b'{"label": "x", "labelled_by": "a", "b": 1}', "b", "unknown field"),
            (b'{"label": 1, "labelled_by": "a"}', "label", "Expected `str`, got `int`"),
            (b"", "label", "missing required field"),
            (b"[]", "", "Expected `object`, got `array`"),
            (b"{", "", "truncated"),
            (b'{"label": NaN}', "", "malformed"),
            (b'{"label": "\xff"}', "", "UTF-8|utf-8"),
            (b"[" * 100_000, "", "deeply|truncated|Expected"),
            (b'{"label":' + b"[" * 100_000, "", "deeply|truncated|Expected"),
        ],
    )
    def test_a_bad_body_is_refused_naming_the_field(
        self, body: bytes, field: str, message: str
    ) -> None:
        with pytest.raises(InvalidCommand, match=message) as caught:
            self.decode(body)
        if field:
            assert caught.value.field == field

    def test_a_value_outside_its_bounds_is_refused(self) -> None:
        with pytest.raises(InvalidCommand, match=">= 1") as caught:
            self.decode(b'{"step": 0}', "count")
        assert caught.value.field == "step"
