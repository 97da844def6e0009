"""What the outcomes of a row prove: every caller is told the truth, and nobody is told twice.

The rows and outcomes are made by a model of the log: other writers and earlier repetitions are
drawn at random, then each append is judged as append.lua judges it. The model knows what the log
held at each moment, and so which answers are true.
"""

import asyncio
import itertools
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.actors.domain import Counted, Counter, model
from whence.actors.plan import Job, Planner, Step
from whence.actors.receipt import Receipt
from whence.actors.settle import Settled, settle
from whence.store.append import Append, Committed, Conflicted, Duplicate, Outcome
from whence.store.errors import CommandIdReused, Rejected
from whence.store.ids import StreamId
from whence.store.metadata import NO_METADATA
from whence.store.recorded import Recorded

COUNTER = StreamId("counter", "1")
START = 3  # the version of the actor
LOOP = asyncio.new_event_loop()
LOOP.close()  # futures need one, and nobody waits for them


class Fate(NamedTuple):
    """What a drawn command is: its events (0: it stores nothing), and what is known of its id.

    ``stored`` is None, "here" (others stored it at the very place where it is planned), "other"
    (there, but as other events), "before" (at an earlier version) or "reused".
    """

    events: int
    stored: str | None = None


class World:
    """A row, what the log had when it came, what append.lua answers, and what that makes true."""

    def __init__(self, fates: list[Fate], ahead: int) -> None:
        self.steps = planned(fates)
        self.fates = fates
        self.ahead = ahead  # events of others behind what the row begins with
        self.outcomes: list[Outcome | Exception] = []
        self.in_log: list[bool] = []  # for each step: whether the log has its events, as planned
        self.newest: list[bool] = []  # for each step: whether its state was the newest
        self._judge()

    def _judge(self) -> None:
        # Repetitions at their own place can only be a prefix: what others wrote, in order.
        head = START + self._stored_here() + self.ahead
        broken = False
        true_until_here = True
        for step, fate in zip(self.steps, self.fates, strict=True):
            self.newest.append(true_until_here and step.version - fate.events == head)
            if step.append is None:
                self.in_log.append(False)
                continue
            outcome = self._outcome(step.append, fate, head, broken=broken)
            in_place = isinstance(outcome, Duplicate) and fate.stored in {"here", "other"}
            if isinstance(outcome, Committed):
                head += fate.events
            elif not in_place:
                broken = True
            as_planned = isinstance(outcome, Committed) or (in_place and fate.stored == "here")
            true_until_here = true_until_here and as_planned
            self.in_log.append(as_planned and true_until_here)
            self.outcomes.append(outcome)

    def _stored_here(self) -> int:
        count = 0
        for fate in self.fates:
            if fate.events and fate.stored not in {"here", "other"}:
                break
            count += fate.events
        return count

    def _outcome(
        self, append: Append, fate: Fate, head: int, *, broken: bool
    ) -> Outcome | Exception:
        match fate.stored:
            case "here" | "other" if append.expected + fate.events <= head and not broken:
                return Duplicate(records(append, append.expected + 1, other=fate.stored == "other"))
            case "before":
                return Duplicate(records(append, 1))
            case "reused":
                return CommandIdReused(COUNTER, append.command_id)
            case _ if append.expected == head and not broken:
                return Committed(append.expected + 1, append.expected + 1, 0)
            case _:
                return Conflicted(head, [])


def planned(fates: list[Fate]) -> list[Step]:
    """The row as the planner decides it, each command on the state that the one before leads to."""

    def decision(events: int) -> Any:
        def decide(state: Any) -> list[Counted]:
            if not events:
                raise Rejected("no")
            return [Counted(1, state.total + n) for n in range(1, events + 1)]

        return decide

    jobs = [
        Job(decision(fate.events), f"c-{n}", None, NO_METADATA, None, future())
        for n, fate in enumerate(fates)
    ]
    planner = Planner(COUNTER, model.aggregate("counter"), model.events)
    return planner.plan(jobs, Counter(total=START), START).steps


def future() -> asyncio.Future[Receipt]:
    return asyncio.Future(loop=LOOP)


def records(append: Append, first: int, *, other: bool = False) -> list[Recorded]:
    return [
        Recorded(
            COUNTER,
            version,
            0,
            version,
            new.encoded.type,
            new.encoded.schema_version,
            b"{}" if other else new.encoded.data,
            b"",
            append.command_id,
            0,
            0,
        )
        for version, new in enumerate(append.events, first)
    ]


FATES = st.builds(Fate, st.integers(1, 2), st.sampled_from(["here", "other", "before", "reused"]))
PLAIN = st.builds(Fate, st.integers(0, 2))
WORLDS = st.builds(World, st.lists(PLAIN | FATES, min_size=1, max_size=8), st.integers(0, 2))


def settled(world: World) -> Settled:
    return settle(world.steps, world.outcomes)


@given(WORLDS)
def test_every_command_is_answered_or_decided_anew_and_none_is_both(world: World) -> None:
    found = settled(world)

    answered = [answer.step for answer in found.answers]
    assert sorted(map(id, answered + found.anew)) == sorted(map(id, world.steps))
    assert answered == [step for step in world.steps if step in answered]
    assert found.anew == [step for step in world.steps if step in found.anew]


@given(WORLDS)
def test_whoever_is_in_the_log_or_refused_by_the_store_hears_it_and_is_never_decided_again(
    world: World,
) -> None:
    found = settled(world)

    said = {id(answer.step): answer.outcome for answer in found.answers}
    appending = [step for step in world.steps if step.append is not None]
    for step, outcome in zip(appending, world.outcomes, strict=True):
        if isinstance(outcome, Conflicted):
            assert step in found.anew
        else:
            assert said[id(step)] is outcome


@given(WORLDS)
def test_a_no_is_only_given_on_a_state_that_was_stored_and_the_newest(world: World) -> None:
    found = settled(world)

    answered = [answer.step for answer in found.answers]
    for step, newest in zip(world.steps, world.newest, strict=True):
        if step.append is None and step in answered:
            assert newest


@given(WORLDS)
def test_a_no_beside_a_commit_on_that_state_is_given_at_once(world: World) -> None:
    found = settled(world)

    outcomes = iter(world.outcomes)
    row = [
        (step, isinstance(next(outcomes), Committed) if step.append else False, newest)
        for step, newest in zip(world.steps, world.newest, strict=True)
    ]
    for (step, committed, newest), (then, then_committed, then_newest) in itertools.pairwise(row):
        if committed and then.append is None and then_newest:
            assert then not in found.anew
        if then_committed and step.append is None and newest:
            assert step not in found.anew


@given(WORLDS)
def test_what_is_kept_in_memory_is_what_the_log_has(world: World) -> None:
    found = settled(world)

    kept = [s for s, in_log in zip(world.steps, world.in_log, strict=True) if in_log]
    assert (found.reached.step if found.reached else None) is (kept[-1] if kept else None)


@given(WORLDS)
def test_a_row_that_answers_nobody_has_lost_to_others_or_to_an_earlier_self(world: World) -> None:
    """So an actor cannot go round for ever: each round is progress, or counts as a conflict."""
    found = settled(world)

    if world.outcomes and not found.answers:
        assert found.conflict is not None


@given(WORLDS)
def test_a_conflict_brings_what_follows_on_the_state_in_memory(world: World) -> None:
    found = settled(world)

    if found.conflict is not None:
        version = found.reached.step.version if found.reached else START
        (first, *_) = [step for step in found.anew if step.append is not None]
        assert first.append is not None
        assert first.append.expected == version


SIGNS: dict[str, Fate] = {
    "no": Fate(0),
    "yes": Fate(1),
    "here": Fate(1, "here"),
    "other": Fate(1, "other"),
    "before": Fate(1, "before"),
    "reused": Fate(1, "reused"),
}


@pytest.mark.parametrize(
    ("row", "ahead", "answered"),
    [
        ("yes no yes", 0, "111"),
        ("no yes", 0, "11"),
        ("no no yes no no", 0, "11111"),
        ("yes no yes", 1, "000"),
        ("no yes no", 1, "000"),
        ("here no", 0, "10"),
        ("here no yes", 0, "111"),
        ("no here yes no", 0, "0111"),
        ("yes reused no yes", 0, "1100"),
        ("yes before no yes", 0, "1100"),
        ("yes no before no yes", 0, "11100"),
        ("no reused", 0, "01"),
        ("other no yes", 0, "101"),
        ("yes reused no reused", 0, "1101"),
    ],
)
def test_who_is_answered(row: str, ahead: int, answered: str) -> None:
    world = World([SIGNS[sign] for sign in row.split()], ahead)

    steps = [answer.step for answer in settled(world).answers]

    assert "".join("01"[step in steps] for step in world.steps) == answered
