"""A fault of the campaign: what is done, what is promised, and what was seen."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple


class Seen(NamedTuple):
    """What one fault has come to.

    Attributes:
        times: how often it happened.
        what: sentences for the report.
        broken: promises that were broken, with their evidence; what a naive variant loses is none.
        skipped: why it could not be done here; empty if it was.
        harmed: of a naive variant, how many events it has lost, doubled or reordered.
    """

    times: int
    what: str
    broken: tuple[str, ...] = ()
    skipped: str = ""
    harmed: int = 0


class Scale(NamedTuple):
    """How much of everything: 1 for the report, less to try it out.

    Attributes:
        seed: every row of chances begins with it.
        folder: of this fault alone, empty.
        seconds: how long to go on: the part of ``Fault.lasts_s``.
    """

    part: float
    seed: int
    folder: Path
    seconds: float = 0.0

    def of(self, count: int, least: int = 1) -> int:
        return max(least, round(count * self.part))


class Fault(NamedTuple):
    """``name`` begins with its number in the list of faults, T1 to T16.

    Attributes:
        within_s: seconds after which it is ended, and counts as broken: many times what it takes on
            a quiet machine. ``lasts_s`` come on top.
        lasts_s: for how long it goes on, beside the other faults; 0 if it is run in its turn.
    """

    name: str
    done: str
    promised: str
    not_promised: str
    run: Callable[[Scale], Seen]
    within_s: float = 300.0
    lasts_s: float = 0.0

    @property
    def naive(self) -> bool:
        """Whether it is of code without Whence, which is to be harmed."""
        return self.name.startswith("naive")


class Ran(NamedTuple):
    """A fault of this campaign; ``seconds`` is how long it took."""

    fault: Fault
    seen: Seen
    seconds: float


def skipped(reason: str) -> Seen:
    return Seen(0, "", (), reason)
