"""What a reaction may be, and the sentence that says why not."""

from collections.abc import AsyncIterator, Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.reactions.domain import Book, Clerk, Deadlines, Ticket, TicketOpened, domain
from whence import Domain, Event, Projection, Recorded, Views, on
from whence.reactions import Reaction, Then, reacts
from whence.reactions.model import ReactionModel
from whence.store.errors import (
    InvalidCommand,
    InvalidDomain,
    InvalidId,
    UnknownCommand,
    UnknownReaction,
)
from whence.store.ids import StreamId

MODEL = domain.write_model


class Foreign(Event):
    pass


def recorded(**fields: Any) -> Recorded:
    known: dict[str, Any] = {
        "stream": StreamId("ticket", "1"),
        "version": 1,
        "partition": 0,
        "position": 1,
        "type": "TicketOpened",
        "schema_version": 1,
        "data": b'{"minutes":1}',
        "metadata_json": b"",
        "command_id": "c-1",
        "occurred_at_us": 1_000_001,
        "checksum": 0,
    }
    return Recorded(**(known | fields))


def asked() -> Then:
    return Then(MODEL, recorded(), "key")


def test_the_name_is_the_class_name_in_kebab_case_or_what_the_class_says() -> None:
    class PayLate(Clerk):
        pass

    class Renamed(PayLate, name="payments.v2"):
        pass

    assert list(ReactionModel([PayLate, Renamed], MODEL).reactions) == ["pay-late", "payments.v2"]


def test_a_reaction_that_is_not_there_is_an_error_that_names_those_that_are() -> None:
    with pytest.raises(UnknownReaction, match=r"'clark'.*clerk, deadlines"):
        domain.reactions.reaction("clark")


def test_a_subclass_does_as_its_base_unless_it_says_otherwise() -> None:
    class Careful(Clerk, on_failure="halt", start="beginning", imported=True):
        pass

    class Heir(Careful):
        pass

    class Rebel(Careful, on_failure="park", start="now", imported=False):
        pass

    assert (Heir.on_failure, Heir.start, Heir.imported) == ("halt", "beginning", True)
    assert (Rebel.on_failure, Rebel.start, Rebel.imported) == ("park", "now", False)


def _no_handler() -> type[Reaction]:
    class Broken(Reaction):
        pass

    return Broken


def _two_handlers() -> type[Reaction]:
    class Broken(Clerk):
        @reacts(TicketOpened)
        def again(self, event: TicketOpened, record: Recorded, then: Then) -> None: ...

    return Broken


def _foreign_event() -> type[Reaction]:
    class Broken(Reaction):
        @reacts(Foreign)
        def foreign(self, event: Foreign, record: Recorded, then: Then) -> None: ...

    return Broken


def _no_event() -> type[Reaction]:
    class Broken(Reaction):
        @reacts("TicketOpened")  # type: ignore  # pyright: ignore
        def text(self, event: Any, record: Recorded, then: Then) -> None: ...

    return Broken


def _too_few_parameters() -> type[Reaction]:
    class Broken(Reaction):
        @reacts(TicketOpened)  # type: ignore[arg-type]  # pyright: ignore
        def short(self, event: TicketOpened) -> None: ...

    return Broken


def _generator() -> type[Reaction]:
    class Broken(Reaction):
        @reacts(TicketOpened)  # type: ignore[type-var]  # pyright: ignore
        def stream(self, event: TicketOpened, record: Recorded, then: Then) -> Iterator[int]:
            yield 1

    return Broken


def _async_generator() -> type[Reaction]:
    class Broken(Reaction):
        @reacts(TicketOpened)  # type: ignore[type-var]  # pyright: ignore
        async def stream(
            self, event: TicketOpened, record: Recorded, then: Then
        ) -> AsyncIterator[int]:
            yield 1

    return Broken


def _bad_name() -> type[Reaction]:
    class Broken(Clerk, name="a/b"):
        pass

    return Broken


def _bad_failure() -> type[Reaction]:
    class Broken(Clerk, on_failure="ignore"):  # type: ignore[arg-type]  # pyright: ignore
        pass

    return Broken


def _bad_start() -> type[Reaction]:
    class Broken(Clerk, start="yesterday"):  # type: ignore[arg-type]  # pyright: ignore
        pass

    return Broken


@pytest.mark.parametrize(
    ("broken", "sentence"),
    [
        (_no_handler, r"handles no event: mark a method with @reacts\(SomeEvent\)"),
        (_two_handlers, "has two handlers for TicketOpened"),
        (_foreign_event, "handles Foreign, which no aggregate of this domain emits"),
        (_no_event, r"@reacts\('TicketOpened'\), which is not an event class"),
        (_too_few_parameters, r"must take \(self, event, record, then\), not \(self, event"),
        (_generator, "Broken.stream yields"),
        (_async_generator, "Broken.stream yields"),
        (_bad_name, "'a/b' cannot be the name of a reaction"),
        (_bad_failure, "cannot do 'ignore' on a failure"),
        (_bad_start, "cannot start at 'yesterday'"),
    ],
)
def test_a_class_that_cannot_work_says_so_at_start(broken: Any, sentence: str) -> None:
    with pytest.raises(InvalidDomain, match=sentence):
        ReactionModel([broken()], MODEL)


def test_two_reactions_cannot_have_one_name() -> None:
    class Other(Clerk, name="deadlines"):
        pass

    with pytest.raises(InvalidDomain, match="two reactions are named 'deadlines'"):
        ReactionModel([Deadlines, Other], MODEL)


def test_nor_can_a_reaction_and_a_projection() -> None:
    class Clerks(Projection[Book], name="clerk"):
        @on(TicketOpened)
        def opened(self, event: TicketOpened, record: Recorded, views: Views[Book]) -> None: ...

    with pytest.raises(InvalidDomain, match="a projection and a reaction are named 'clerk'"):
        Domain(aggregates=[Ticket, Book], projections=[Clerks], reactions=[Clerk])


class TestWhatThenRefuses:
    def test_a_call_that_the_command_would_not_take(self) -> None:
        with pytest.raises(TypeError, match="missing a required argument: 'text'"):
            asked().send(Book.write, "1")  # type: ignore[call-arg]  # pyright: ignore

    def test_a_method_that_is_no_command_here(self) -> None:
        with pytest.raises(UnknownCommand):
            asked().send(Book.apply, "1", None)  # type: ignore[arg-type]  # pyright: ignore

    def test_an_id_that_is_none(self) -> None:
        with pytest.raises(InvalidId):
            asked().send(Book.write, "a/b", text="x")
        with pytest.raises(InvalidId, match="timer"):
            asked().after("a/b", timedelta(1), Book.write, "1", text="x")
        with pytest.raises(InvalidId, match="timer"):
            asked().cancel_timer("")

    def test_arguments_that_would_not_come_back_from_storage(self) -> None:
        with pytest.raises(InvalidCommand, match="Expected `str`, got `int`"):
            asked().after("t", timedelta(1), Book.write, "1", text=3)  # type: ignore[arg-type]  # pyright: ignore
        with pytest.raises(InvalidCommand, match="Expected `float`, got `null`"):
            asked().after("t", timedelta(1), Ticket.begin, "1", minutes=float("nan"))

    def test_moments_that_are_none(self) -> None:
        with pytest.raises(ValueError, match="has no time zone"):
            asked().at("t", datetime(2026, 1, 1), Book.write, "1", text="x")
        with pytest.raises(ValueError, match="before 1685 or after 2255"):
            asked().after("t", timedelta(days=200_000), Book.write, "1", text="x")


def test_a_timer_is_never_due_before_its_moment() -> None:
    then = asked()  # the event occurred a microsecond after a whole millisecond
    then.after("t", timedelta(seconds=1), Book.write, "1", text="x")
    (timer,) = then.intents
    assert timer.due_ms == 2_001  # type: ignore[union-attr]  # pyright: ignore
