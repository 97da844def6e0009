"""A domain for the tests of the actors: a counter, and what can be said of it."""

from typing import Annotated, Self

from msgspec import Meta

from whence import Aggregate, Event, Rejected, command, replace
from whence.actors.model import WriteModel


class Counted(Event):
    step: int
    total: int


class Labelled(Event):
    label: str
    labelled_by: str
    reason: str = ""


class Counter(Aggregate[Counted | Labelled]):
    total: int = 0
    label: str = ""

    @command
    def count(self, step: Annotated[int, Meta(ge=1)] = 1) -> Counted:
        return Counted(step, self.total + step)

    @command
    def count_to(self, limit: int) -> list[Counted]:
        return [Counted(1, total) for total in range(self.total + 1, limit + 1)]

    @command
    def label_as(self, label: str, labelled_by: str, reason: str = "") -> Labelled:
        if self.total == 0:
            raise Rejected("an empty counter cannot be labelled")
        return Labelled(label, labelled_by, reason)

    @command
    def look(self) -> None:
        return None

    def apply(self, event: Counted | Labelled) -> Self:
        match event:
            case Counted(_, total):
                return replace(self, total=total)
            case Labelled(label):
                return replace(self, label=label)


model = WriteModel([Counter])
