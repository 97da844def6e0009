"""What the outcomes of a row of appends prove, and for whom. A pure function, and no more.

A row is decided in one go: each command on the state that the one before it leads to. Then the
store says for each append what became of it. From that follows

- what is surely in the log: Committed, or Duplicate for what was there before;
- who has an answer: whoever is in the log or was refused by the store, and whoever stores nothing
  and was decided on a state that was surely the newest;
- who has to be decided anew: everybody else.
"""

from collections.abc import Sequence
from typing import NamedTuple, TypeGuard

from whence.actors.plan import Step
from whence.store.append import Append, Committed, Conflicted, Duplicate, Outcome

# What became of a step's append; None for a step without one.
_Found = Outcome | Exception | None


class Answer(NamedTuple):
    """A step whose caller can be told; ``outcome`` is None when the step's own decision counts."""

    step: Step
    outcome: Committed | Duplicate | Exception | None


class Reached(NamedTuple):
    """A step whose append is in the log, behind all that was planned before it."""

    step: Step
    append: Append
    outcome: Committed | Duplicate


class Settled(NamedTuple):
    """What a row has come to. Both lists are in the order of the row; together they are the row.

    Attributes:
        reached: the last step up to which the log is as the row was planned; None if it is not so
            for the first append.
        conflict: what the store answered to the step behind that, if others wrote first.
    """

    answers: list[Answer]
    anew: list[Step]
    reached: Reached | None
    conflict: Conflicted | None


def settle(steps: Sequence[Step], outcomes: Sequence[Outcome | Exception]) -> Settled:
    """Tell what the outcomes, one for each step with an append, prove about all the steps."""
    remaining = iter(outcomes)
    found = [None if step.append is None else next(remaining) for step in steps]
    reached, end = _reached(steps, found)
    answers: list[Answer] = []
    anew: list[Step] = []
    for number, (step, outcome) in enumerate(zip(steps, found, strict=True)):
        if isinstance(outcome, Conflicted) or (
            outcome is None and (number > end or not _beside_a_commit(found, number))
        ):
            anew.append(step)
        else:
            answers.append(Answer(step, outcome))
    first_off = found[end] if end < len(found) else None
    return Settled(answers, anew, reached, first_off if isinstance(first_off, Conflicted) else None)


def _reached(steps: Sequence[Step], found: Sequence[_Found]) -> tuple[Reached | None, int]:
    """The last append that is in the log as planned, and the number of the first that is not.

    What was decided behind that one was decided on a state that never was.
    """
    reached: Reached | None = None
    for number, (step, outcome) in enumerate(zip(steps, found, strict=True)):
        if step.append is None or outcome is None:
            continue
        if not _is_as_planned(outcome, step.append):
            return reached, number
        reached = Reached(step, step.append, outcome)
    return reached, len(steps)


def _is_as_planned(
    outcome: Outcome | Exception, append: Append
) -> TypeGuard[Committed | Duplicate]:
    """Whether the log now has, at its place, what this append was to bring there."""
    if not isinstance(outcome, Duplicate):
        return isinstance(outcome, Committed)
    # A repeated command may have been stored elsewhere, or by another release as other events.
    records = outcome.records
    return records[0].version == append.expected + 1 and [
        (record.type, record.schema_version, record.data) for record in records
    ] == [(new.encoded.type, new.encoded.schema_version, new.encoded.data) for new in append.events]


def _beside_a_commit(found: Sequence[_Found], number: int) -> bool:
    """Whether the state at a step that stores nothing was surely the newest.

    No version check protects such a step. But when the append next to it, on either side, was
    Committed just now, then the log had nothing more in between. A Duplicate shows no such thing:
    it was stored before, and others may have gone on after it.
    """
    before = next((outcome for outcome in reversed(found[:number]) if outcome is not None), None)
    behind = next((outcome for outcome in found[number:] if outcome is not None), None)
    return isinstance(before, Committed) or isinstance(behind, Committed)
