"""given, when, then: what they say, and that they fail when they should."""

import subprocess
import sys
from collections.abc import Callable
from typing import Any, Self

import pytest

from examples.orders.domain import Item, Order, OrderApproved, OrderCancelled, OrderPlaced
from tests.actors.domain import Counted, Counter
from tests.testing import broken
from tests.testing.broken import Added, Measured
from whence import Aggregate, Event, command
from whence.store.errors import InvalidDomain, UnknownCommand, UnknownField
from whence.testing import given

ITEMS = (Item("book", 2, 1_500),)
PLACED = OrderPlaced("ann", ITEMS)


def message_of(claim: Callable[[], object]) -> str:
    """What a claim that does not hold says."""
    with pytest.raises(AssertionError) as caught:
        claim()
    return "\n".join([str(caught.value), *getattr(caught.value, "__notes__", [])])


class TestSentences:
    def test_events_lead_to_a_command_and_that_to_events(self) -> None:
        given(Order, PLACED).when(Order.cancel, reason="late", cancelled_by="ann").then(
            OrderCancelled("late", "ann")
        )

    def test_an_aggregate_without_events_is_new(self) -> None:
        given(Order).when(Order.place, "ann", ITEMS).then(PLACED).then_state(status="pending")

    def test_a_command_may_decide_several_events_or_none(self) -> None:
        given(Counter).when(Counter.count_to, 2).then(Counted(1, 1), Counted(1, 2))
        given(Counter).when(Counter.count_to, 0).then_nothing().then_state(total=0)
        given(Counter).when(Counter.look).then_nothing()

    def test_a_command_may_be_rejected(self) -> None:
        given(Order).when(Order.approve).then_rejected()
        given(Order).when(Order.approve).then_rejected("a new order cannot be approved")
        given(Order, PLACED, OrderApproved()).when(Order.approve).then_rejected(
            r"already.*approved"
        )

    def test_one_past_serves_many_tests(self) -> None:
        placed = given(Order, PLACED)

        placed.when(Order.approve).then_state(approved=True)
        placed.when(Order.approve).then(OrderApproved())

    def test_events_of_a_later_schema_version_need_no_upcaster_here(self) -> None:
        class Moved(Event, version=3):
            to: str

        class Cart(Aggregate[Moved]):
            @command
            def move(self, to: str) -> Moved:
                return Moved(to)

            def apply(self, event: Moved) -> Self:
                return self

        given(Cart, Moved("a")).when(Cart.move, to="b").then(Moved("b"))

    def test_a_state_that_json_cannot_describe_has_no_snapshots_and_is_fine(self) -> None:
        class Odd(Aggregate[Added]):
            seen: type = int

            @command
            def add(self, item: str) -> Added:
                return Added(item)

            def apply(self, event: Added) -> Self:
                return self

        given(Odd, Added("a")).when(Odd.add, "b").then(Added("b"))


class TestFailures:
    def test_other_events_are_shown_as_a_difference(self) -> None:
        outcome = given(Order, PLACED).when(Order.cancel, reason="late", cancelled_by="ann")

        assert message_of(lambda: outcome.then(OrderCancelled("lost", "ann"))) == (
            "the command decided other events\n"
            "\n"
            "given  Order\n"
            "       OrderPlaced(user_id='ann', items=(Item(sku='book', quantity=2, price=1500),))\n"
            "when   Order.cancel(reason='late', cancelled_by='ann')\n"
            "then     OrderCancelled\n"
            "       -   reason: 'lost'\n"
            "       +   reason: 'late'\n"
            "           cancelled_by: 'ann'\n"
            "       (- expected, + actual)"
        )

    def test_a_difference_deep_inside_is_one_line(self) -> None:
        more = (*ITEMS, Item("pen", 1, 200))
        outcome = given(Order).when(Order.place, "ann", more)
        said = message_of(lambda: outcome.then(OrderPlaced("ann", (*ITEMS, Item("pen", 2, 200)))))

        assert [line for line in said.splitlines() if line[7:8] in {"-", "+"}] == [
            "       -       quantity: 2",
            "       +       quantity: 1",
        ]

    def test_too_few_and_too_many_events_differ(self) -> None:
        outcome = given(Counter).when(Counter.count_to, 2)

        assert "+ Counted" in message_of(lambda: outcome.then(Counted(1, 1)))
        three = Counted(1, 1), Counted(1, 2), Counted(1, 3)
        assert "- Counted" in message_of(lambda: outcome.then(*three))
        assert "- no event" in message_of(outcome.then_nothing)

    def test_a_rejection_is_no_decision(self) -> None:
        outcome = given(Order).when(Order.approve)
        wrong: list[Callable[[], object]] = [
            outcome.then_nothing,
            lambda: outcome.then(OrderApproved()),
            lambda: outcome.then_state(status="new"),
        ]
        for claim in wrong:
            said = message_of(claim)
            assert said.startswith("the command was rejected\n")
            assert "+ rejected: a new order cannot be approved" in said
            assert "given  Order\n       no event\nwhen   Order.approve()" in said

    def test_nor_is_a_decision_a_rejection(self) -> None:
        said = message_of(given(Order, PLACED).when(Order.approve).then_rejected)

        assert said.startswith("the command was not rejected\n")
        assert "+ OrderApproved" in said

    def test_another_reason_is_another_rejection(self) -> None:
        said = message_of(lambda: given(Order).when(Order.approve).then_rejected("shipped"))

        assert "- rejected: shipped" in said
        assert "+ rejected: a new order cannot be approved" in said

    def test_another_state_is_shown_by_the_fields_asked_for(self) -> None:
        outcome = given(Order, PLACED).when(Order.approve)
        said = message_of(lambda: outcome.then_state(approved=False, status="pending"))

        assert (
            "then   - approved: False\n       + approved: True\n         status: 'pending'" in said
        )
        assert "carrier" not in said

    def test_values_that_print_alike_are_said_to_differ(self) -> None:
        class Silent:
            def __repr__(self) -> str:
                return "''"

        outcome = given(Order, PLACED).when(Order.approve)

        assert "print alike" in message_of(lambda: outcome.then_state(reason=Silent()))

    def test_a_field_that_is_not_there_is_named_together_with_those_that_are(self) -> None:
        with pytest.raises(UnknownField, match=r"'stauts'; it has: user_id, items, status"):
            given(Order, PLACED).when(Order.approve).then_state(stauts="pending")

    def test_what_a_command_raises_comes_out_with_the_story(self) -> None:
        with pytest.raises(TypeError) as caught:
            given(Order).when(Order.approve, reason="x")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
        assert caught.value.__notes__ == [
            "given  Order\n       no event\nwhen   Order.approve(reason='x')"
        ]

    def test_the_types_tell_a_wrong_argument_and_a_wrong_aggregate(self) -> None:
        """What mypy is told to pass over here it would call unused if it saw no mistake."""
        with pytest.raises(TypeError):
            given(Order).when(Order.cancel, reason="late")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
        with pytest.raises(UnknownCommand, match=r"has: Order\.approve"):
            given(Order).when(Counter.count)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

    def test_an_event_of_another_aggregate_is_refused(self) -> None:
        said = message_of(lambda: given(Order, Counted(1, 1)))

        assert said.startswith("Counted(step=1, total=1) is none of the events of Order: OrderA")

    def test_a_class_that_is_no_aggregate_is_refused(self) -> None:
        class Bare(Aggregate[Any]):
            pass

        with pytest.raises(InvalidDomain, match="does not name its events"):
            given(Bare)


@pytest.mark.parametrize(
    ("claim", "sentence"),
    [
        (lambda: given(broken.InPlace, Added("a")), "apply of Added(item='a') changed the state"),
        (
            lambda: given(broken.InPlace).when(broken.InPlace.add, "a"),
            "apply of Added(item='a') changed the state",
        ),
        (lambda: given(broken.Changing).when(broken.Changing.add, "a"), "is to return events only"),
        (lambda: given(broken.ChangingTheEvent, Measured([0])), "changed the event"),
        (lambda: given(broken.Ticking, Added("a")), "gives another state the second time"),
        (lambda: given(broken.Rolling).when(broken.Rolling.add), "decides otherwise the second"),
        (lambda: given(broken.Rolling).when(broken.Rolling.refuse), "decides otherwise the second"),
        (lambda: given(broken.Forgetful, Added("a")), "returned None; it is to return the next"),
        (lambda: given(broken.Lossy, Measured((1, 2))), "Measured would change in storage"),
        (
            lambda: given(broken.Lossy).when(broken.Lossy.measure, 1, 2),
            "Measured would change in storage",
        ),
        (
            lambda: given(broken.Lossy, Measured(1)),
            "at version 1 cannot be kept as a snapshot: it would come back as another state",
        ),
        (
            lambda: given(broken.Graded, Added("a"), Added("b")),
            "the snapshot of version 1 leads to another state at version 2",
        ),
        (
            lambda: given(broken.Graded, Added("a")).when(broken.Graded.add, "b"),
            "the snapshot of version 1 leads to another state at version 2",
        ),
    ],
)
def test_a_class_that_breaks_a_promise_is_found_out(
    claim: Callable[[], object], sentence: str
) -> None:
    assert sentence in message_of(claim)


def test_a_state_that_hangs_on_more_than_its_events_is_found_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    past = given(broken.Priced, Added("a"))
    monkeypatch.setattr(broken, "rate", 2)

    said = message_of(lambda: past.when(broken.Priced.add, "b"))

    assert "replaying gives another state at version 1" in said
    assert "-   total: 1\n  +   total: 2" in said
    assert "when   Priced.add('b')" in said


def test_it_needs_no_more_than_whence_itself() -> None:
    code = """
import sys, whence.testing
assert not {"pytest", "hypothesis", "fakeredis"} & sys.modules.keys()
"""
    subprocess.run([sys.executable, "-c", code], check=True)
