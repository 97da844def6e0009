"""Random commands find what no one thought of, and nothing where nothing is wrong."""

import enum
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal, Self

import msgspec
import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import run_state_machine_as_test
from msgspec import Meta, Struct

from examples.orders.domain import Order
from tests.actors.domain import Counter
from tests.testing import broken
from tests.testing.broken import Added
from whence import Aggregate, command
from whence.actors.model import AnyAggregate
from whence.store.errors import InvalidCommand, UnknownCommand, UnknownField
from whence.testing.machine import AggregateMachine, aggregate_machine

FEW = settings(max_examples=15, stateful_step_count=20)
THOROUGH = settings(
    max_examples=300,
    stateful_step_count=20,
    derandomize=True,
    database=None,
    phases=[Phase.generate, Phase.shrink],
)

TestCounter = aggregate_machine(Counter, strategies={"limit": st.integers(0, 20)}).TestCase
TestCounter.settings = FEW


def found_by(machine: type[AggregateMachine[Any]]) -> str:
    """What the machine finds, with the shortest row of commands that shows it."""
    with pytest.raises(AssertionError) as caught:
        run_state_machine_as_test(machine, settings=THOROUGH)
    return "\n".join([str(caught.value), *getattr(caught.value, "__notes__", [])])


@pytest.mark.parametrize(
    ("aggregate", "sentence"),
    [
        (broken.InPlace, "apply of Added(item='') changed the state"),
        (broken.Changing, "is to return events only"),
        (broken.Ticking, "another state the second time"),
        (broken.Rolling, "decides otherwise the second time"),
        (broken.Forgetful, "returned None"),
        (broken.Graded, "the snapshot of version 1 leads to another state at version 2"),
    ],
)
def test_an_aggregate_that_breaks_a_promise_is_found_out(
    aggregate: type[AnyAggregate], sentence: str
) -> None:
    assert sentence in found_by(aggregate_machine(aggregate))


def test_only_the_commands_asked_for_are_sent() -> None:
    Lossy = broken.Lossy  # noqa: N806

    said = found_by(aggregate_machine(Lossy, commands=[Lossy.note]))
    assert "cannot be kept as a snapshot" in said

    said = found_by(aggregate_machine(Lossy, commands=[Lossy.measure]))
    assert "would change in storage" in said


def solvent(purse: broken.Purse) -> None:
    assert purse.coins >= 0, "there is less than nothing in the purse"


def test_a_planted_bug_is_found_with_the_shortest_way_to_it() -> None:
    said = found_by(aggregate_machine(broken.Purse, always=solvent))

    assert "less than nothing" in said
    assert said.count("state.when_add(") == 3
    assert said.count("state.when_withdraw(") == 1
    assert "state.when_withdraw(arguments={'amount': 4})" in said


def test_another_exception_than_rejected_is_a_bug() -> None:
    class Fragile(Aggregate[Added]):
        @command
        def add(self, number: int) -> Added:
            return Added(str(100 // (number - 3)))

        def apply(self, event: Added) -> Self:
            return self

    with pytest.raises(ZeroDivisionError):
        run_state_machine_as_test(aggregate_machine(Fragile), settings=THOROUGH)


class TestStrategies:
    def test_one_can_be_given_for_a_parameter_of_every_command_or_of_one(self) -> None:
        seen: set[tuple[str, str]] = set()

        class Heard(Aggregate[Added]):
            @command
            def add(self, item: str) -> None:
                seen.add(("add", item))

            @command
            def put(self, item: str) -> None:
                seen.add(("put", item))

        strategies = {"item": st.just("a"), "put.item": st.just("b")}
        run_state_machine_as_test(aggregate_machine(Heard, strategies=strategies), settings=FEW)

        assert seen == {("add", "a"), ("put", "b")}

    def test_one_for_what_is_not_there_is_refused(self) -> None:
        with pytest.raises(UnknownField, match=r"a command of Order has no field 'resaon'"):
            aggregate_machine(Order, strategies={"resaon": st.just("a")})
        with pytest.raises(UnknownCommand, match=r"has: Order\.approve"):
            aggregate_machine(Order, commands=[Counter.count])

    def test_one_that_gives_what_the_type_does_not_allow_is_refused(self) -> None:
        machine = aggregate_machine(Order, strategies={"reason": st.just("")})

        with pytest.raises(InvalidCommand, match="length >= 1"):
            run_state_machine_as_test(machine, settings=THOROUGH)

    def test_every_type_that_a_command_can_have_has_one(self) -> None:
        class Colour(enum.Enum):
            RED = "red"

        class Point(Struct):
            x: Annotated[int, Meta(gt=0, lt=9)]
            y: Annotated[float, Meta(ge=0, lt=1)] = 0.0

        @dataclass
        class Line:
            points: tuple[Point, Point]

        class Wide(Aggregate[Added]):
            @command
            def take(
                self,
                text: Annotated[str, Meta(min_length=3, max_length=50)],
                pattern: Annotated[str, Meta(pattern="^[a-z]{2,4}$")],
                number: Annotated[int, Meta(ge=-5, multiple_of=7)],
                flag: bool | None,
                name: Literal["a", "b"],
                colour: Colour,
                lines: Annotated[list[Line], Meta(min_length=1, max_length=2)],
                many: Sequence[Point],
                words: frozenset[str],
                numbers: set[int],
                table: dict[str, tuple[int, ...]],
                raw: bytes,
                cents: Decimal,
                uid: uuid.UUID,
                anything: Any,
                day: date,
                at: Annotated[datetime, Meta(tz=True)],
                local: datetime,
                hour: time,
                span: timedelta,
            ) -> None: ...

        run_state_machine_as_test(
            aggregate_machine(Wide), settings=settings(max_examples=5, stateful_step_count=5)
        )

    def test_a_type_without_one_is_named_with_what_to_do(self) -> None:
        class Raw(Aggregate[Added]):
            @command
            def take(self, raw: msgspec.Raw) -> None: ...

        with pytest.raises(TypeError, match=r"for the parameter 'raw', .*: give a strategy for it"):
            aggregate_machine(Raw)
        machine = aggregate_machine(Raw, strategies={"raw": st.just(1)})
        run_state_machine_as_test(machine, settings=FEW)

    def test_so_is_a_type_that_contains_itself(self) -> None:
        with pytest.raises(TypeError, match="'node', its type contains itself"):
            aggregate_machine(Tree)


class Node(Struct):
    children: "list[Node]"


class Tree(Aggregate[Added]):
    @command
    def plant(self, node: Node) -> None: ...
