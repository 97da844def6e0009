"""The request that ``whence dev`` suggests, for commands of every kind."""

from datetime import datetime
from typing import Annotated, Literal, Self

from msgspec import Meta, Struct

from whence import Aggregate, Domain, Event, command
from whence.web.example import curl, first_command


class Place(Struct):
    row: int
    seat: Annotated[int, Meta(ge=5)]
    note: str = ""


class SeatBooked(Event):
    pass


class Seat(Aggregate[SeatBooked]):
    @command
    def take_over(
        self,
        who: str,
        places: tuple[Place, ...],
        pair: tuple[int, str],
        price: float,
        paid: bool,
        kind: Literal["stalls", "circle"],
        either: int | None,
        size: Annotated[str, Meta(min_length=1)] = "m",
    ) -> SeatBooked:
        return SeatBooked()

    @command
    def book(self, at: datetime) -> SeatBooked:
        return SeatBooked()

    def apply(self, event: SeatBooked) -> Self:
        return self


domain = Domain(aggregates=[Seat])


def test_the_first_command_is_the_one_that_stands_first_in_the_class() -> None:
    first = first_command(domain)
    assert first is not None
    assert (first[0].name, first[1].name) == ("seat", "take_over")


def test_arguments_are_made_up_for_what_is_required() -> None:
    kind = domain.write_model.aggregate("seat")
    line = curl("http://here", kind, kind.command("take_over"))
    assert line == (
        "curl http://here/seats/42/take-over -H 'content-type: application/json' -d "
        '\'{"who":"who","places":[{"row":1,"seat":5}],"pair":[1,"pair"],"price":1,"paid":true,'
        '"kind":"circle","either":1}\''
    )


def test_no_request_is_suggested_that_would_be_refused() -> None:
    kind = domain.write_model.aggregate("seat")
    assert curl("http://here", kind, kind.command("book")) is None
