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
    """Tell what the outcomes, one for each step with an append, prove about all the steps.

    A step that stores nothing (a "no", or nothing to do) is protected by no version check. It needs
    the append before it or behind it to be Committed: that the store took it shows that the state
    in between was the newest just then. A Duplicate does not: others may have gone on after it.
    """
    answers: list[Answer] = []
    anew: list[Step] = []
    unproven: list[Step] = []  # decided on a state that may have been the newest
    reached: Reached | None = None
    conflict: Conflicted | None = None
    as_planned = True  # up to here the log has what the plan has
    newest = False  # and had nothing more, when it was written to
    remaining = iter(outcomes)
    for step in steps:
        if step.append is None:
            if newest:
                answers.append(Answer(step, None))
            else:
                (unproven if as_planned else anew).append(step)
            continue
        outcome = next(remaining)
        newest = as_planned and isinstance(outcome, Committed)
        if newest:
            answers += [Answer(earlier, None) for earlier in unproven]
        else:
            anew += unproven
        unproven = []
        if isinstance(outcome, Conflicted):
            anew.append(step)
            conflict = outcome if as_planned else conflict
        else:
            answers.append(Answer(step, outcome))
        if as_planned and _is_as_planned(step.append, outcome):
            reached = Reached(step, step.append, outcome)
        else:
            as_planned = False
    return Settled(answers, anew + unproven, reached, conflict)


def _is_as_planned(
    append: Append, outcome: Outcome | Exception
) -> TypeGuard[Committed | Duplicate]:
    """Whether the log now has, at its place, what this append was to bring there."""
    if not isinstance(outcome, Duplicate):
        return isinstance(outcome, Committed)
    # A repeated command may have been stored elsewhere, or by another release as other events.
    records = outcome.records
    return records[0].version == append.expected + 1 and [
        (record.type, record.schema_version, record.data) for record in records
    ] == [(new.encoded.type, new.encoded.schema_version, new.encoded.data) for new in append.events]
