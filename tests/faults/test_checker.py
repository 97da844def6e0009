"""The checker finds every kind of broken promise, and nothing where all are kept."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.faults.checker import check
from tests.faults.history import Outcome
from tests.faults.log import Entry, Place
from tests.faults.story import Story
from tests.faults.violation import Kind, Violation, report

ACCOUNT = "account/1"


def ordinary() -> Story:
    """A bit of everything, and all of it right. Versions: a1 1, a2 2 and 3, a3 4, b1 5, a5 6."""
    story = Story()
    story.command("a1", "one")
    story.command("a2", "two", "three")
    story.command("a3", "four", insisting=True)
    story.command("a4", "never", outcome="rejected", stored=False)
    story.command("b1", "five", process="2", outcome=None)
    story.again("b1", process="2.1")
    story.command("b2", "gone", process="2", outcome=None, stored=False)
    story.read()
    story.command("a5", "six")
    story.read()
    story.command("c1", "in the same partition", stream="account/2")
    story.command("d1", "in another partition", stream="account/4")
    return story


def check_all(story: Story) -> list[Violation]:
    return check(story.history, story.log)


def test_nothing_is_found_where_every_promise_is_kept() -> None:
    assert check_all(ordinary()) == []


# Each of these breaks one promise of the ordinary story.


def the_last_event_is_lost(story: Story) -> None:
    story.log.streams[ACCOUNT].pop()


def an_event_is_overwritten(story: Story) -> None:
    entries = story.log.streams[ACCOUNT]
    entries[5] = entries[5]._replace(command="b2", data="gone")


def an_acknowledged_command_is_stored_twice(story: Story) -> None:
    append(story, "a1", "one")


def a_command_that_nobody_was_told_of_is_stored_twice(story: Story) -> None:
    append(story, "b2", "gone", "gone")


def a_version_comes_twice(story: Story) -> None:
    entries = story.log.streams[ACCOUNT]
    entries.insert(1, entries[0])


def two_versions_change_places(story: Story) -> None:
    entries = story.log.streams[ACCOUNT]
    entries[0], entries[1] = entries[1], entries[0]


def a_version_is_missing(story: Story) -> None:
    del story.log.streams[ACCOUNT][2]


def a_position_is_missing(story: Story) -> None:
    del feed(story)[2]


def two_positions_change_places(story: Story) -> None:
    feed(story)[0], feed(story)[1] = feed(story)[1], feed(story)[0]


def a_pointer_names_another_event(story: Story) -> None:
    feed(story)[3] = feed(story)[3]._replace(version=2)


def a_pointer_names_nothing(story: Story) -> None:
    feed(story).append(Place(len(feed(story)) + 1, ACCOUNT, 99))


def an_event_has_no_pointer(story: Story) -> None:
    feed(story).pop()


def the_feed_has_a_stream_in_another_order(story: Story) -> None:
    entries = story.log.streams[ACCOUNT]
    five, six = entries[4:6]
    entries[4:6] = [
        five._replace(position=six.position),
        six._replace(position=five.position),
    ]
    feed(story)[4:6] = [
        Place(five.position, ACCOUNT, 6),
        Place(six.position, ACCOUNT, 5),
    ]


def an_event_was_sent_by_nobody(story: Story) -> None:
    append(story, "stranger", "boo")


def an_event_is_in_a_stream_it_was_not_sent_to(story: Story) -> None:
    append(story, "a1", "one", stream="account/2")


def another_command_comes_between_two_events_of_one(story: Story) -> None:
    left, right = torn(story)
    told = {"versions": (left.version, right.version), "position": right.position}
    change(story, "apart", answered={"outcome": "ok", "data": ("left", "right"), **told})


def the_same_and_nobody_was_told(story: Story) -> None:
    torn(story)


def half_of_a_command_is_stored(story: Story) -> None:
    story.command("half", "first", "second", outcome="unknown", stored=False)
    append(story, "half", "first")


def a_byte_is_changed(story: Story) -> None:
    entries = story.log.streams[ACCOUNT]
    entries[0] = entries[0]._replace(data="0ne")


def another_position_was_acknowledged(story: Story) -> None:
    change(story, "a3", answered={"position": 3})


def what_was_refused_is_there(story: Story) -> None:
    append(story, "a4", "never")


def a_condition_was_not_heeded(story: Story) -> None:
    change(story, "a3", sent={"expected": 2})


def a_repetition_is_refused(story: Story) -> None:
    story.command("b1", "five", process="3", outcome="rejected", stored=False)


def a_repetition_gets_another_answer(story: Story) -> None:
    story.again("b1", process="3")
    change(story, "b1", answered={"versions": (4,)}, attempt=-1)


def a_later_command_comes_first(story: Story) -> None:
    change(story, "a2", sent={"at": 10_000}, answered={"at": 10_001})


def a_later_command_comes_first_in_the_feed_alone(story: Story) -> None:
    story.command("c2", "late", stream="account/3")
    change(story, "c1", sent={"at": 10_000}, answered={"at": 10_001})


def a_read_saw_what_is_no_longer_there(story: Story) -> None:
    change_read(story, version=9, digest=None)


def a_read_saw_other_events(story: Story) -> None:
    change_read(story, digest=12345)


def a_read_went_back(story: Story) -> None:
    story.command("b3", "seven", outcome=None)
    story.read()
    story.read()
    change_read(story, version=6, digest=None)


def a_read_missed_what_was_acknowledged(story: Story) -> None:
    story.history.reads.pop(0)
    change_read(story, version=5, digest=None)


def a_read_saw_what_was_not_yet_sent(story: Story) -> None:
    story.history.reads.pop()
    change_read(story, version=6, digest=None)


PLANTED: list[tuple[Callable[[Story], object], Kind]] = [
    (the_last_event_is_lost, "lost"),
    (an_event_is_overwritten, "lost"),
    (an_acknowledged_command_is_stored_twice, "duplicate"),
    (a_command_that_nobody_was_told_of_is_stored_twice, "duplicate"),
    (a_version_comes_twice, "versions"),
    (two_versions_change_places, "versions"),
    (a_version_is_missing, "versions"),
    (a_position_is_missing, "positions"),
    (two_positions_change_places, "positions"),
    (a_pointer_names_another_event, "pointer"),
    (a_pointer_names_nothing, "pointer"),
    (an_event_has_no_pointer, "pointer"),
    (the_feed_has_a_stream_in_another_order, "pointer"),
    (an_event_was_sent_by_nobody, "phantom"),
    (an_event_is_in_a_stream_it_was_not_sent_to, "phantom"),
    (another_command_comes_between_two_events_of_one, "split"),
    (the_same_and_nobody_was_told, "split"),
    (half_of_a_command_is_stored, "incomplete"),
    (a_byte_is_changed, "changed"),
    (another_position_was_acknowledged, "moved"),
    (what_was_refused_is_there, "refused but stored"),
    (a_condition_was_not_heeded, "wrong version"),
    (a_repetition_is_refused, "answers differ"),
    (a_repetition_gets_another_answer, "answers differ"),
    (a_later_command_comes_first, "order"),
    (a_later_command_comes_first_in_the_feed_alone, "order"),
    (a_read_saw_what_is_no_longer_there, "not a prefix"),
    (a_read_saw_other_events, "not a prefix"),
    (a_read_went_back, "read order"),
    (a_read_missed_what_was_acknowledged, "read order"),
    (a_read_saw_what_was_not_yet_sent, "read order"),
]


@pytest.mark.parametrize(("plant", "kind"), PLANTED, ids=lambda each: getattr(each, "__name__", ""))
def test_a_planted_fault_is_found_and_named(plant: Callable[[Story], object], kind: Kind) -> None:
    story = ordinary()
    plant(story)

    violations = check_all(story)

    assert kind in {violation.kind for violation in violations}, report(violations)
    assert all(len(violation.evidence) <= 8 for violation in violations)


def test_a_counter_example_is_the_few_lines_that_matter() -> None:
    story = Story()
    story.command("a1", "one")
    story.command("a2", "two", stream="account/2")
    story.log.streams[ACCOUNT].clear()

    (lost,) = [violation for violation in check_all(story) if violation.kind == "lost"]

    assert str(lost).splitlines() == [
        "lost: account/1@1 was acknowledged and is not there",
        "    [0.000000 s] process 1 sent a1 to account/1",
        "    [0.000000 s] process 1 was told: stored as version 1, position 1",
    ]


def test_the_report_counts_each_kind() -> None:
    story = ordinary()
    an_event_was_sent_by_nobody(story)
    what_was_refused_is_there(story)

    assert report(check_all(story)).splitlines()[0] == (
        "2 violations: 1 of 'phantom', 1 of 'refused but stored'"
    )


NAMES = st.sampled_from(["account/1", "account/2", "account/4"])
WAITS = st.integers(1, 1_000)
# How a command may end: what its caller is told, and whether it is stored.
ENDS: dict[str, tuple[Outcome | None, bool]] = {
    "done": ("ok", True),
    "refused": ("rejected", False),
    "stored, nobody knows": ("unknown", True),
    "stored, and the caller died": (None, True),
    "lost on its way": ("unknown", False),
}


@st.composite
def stories(draw: st.DrawFn) -> Story:
    """Any valid history: callers wait long, so that many commands are under way at once."""
    story = Story()
    stored: list[tuple[str, str]] = []
    for number in range(draw(st.integers(0, 30))):
        stream, process = draw(NAMES), draw(st.sampled_from("123"))
        before = draw(WAITS)
        action = draw(st.sampled_from([*ENDS, "again", "read"]))
        if action == "read":
            story.read(stream, process=process, before=before, after=draw(WAITS))
        elif action == "again":
            if stored:
                name, home = draw(st.sampled_from(stored))
                story.again(name, process=process, stream=home, before=before)
        else:
            outcome, there = ENDS[action]
            data = [f"{number}-{part}" for part in range(draw(st.integers(1, 3)))]
            story.command(
                f"n{number}",
                *data,
                stream=stream,
                process=process,
                outcome=outcome,
                stored=there,
                insisting=draw(st.booleans()),
                before=before,
                after=draw(WAITS),
            )
            stored += [(f"n{number}", stream)] if there else []
    return story


@given(stories())
def test_a_valid_history_passes_whatever_overlaps(story: Story) -> None:
    violations = check_all(story)

    assert violations == [], report(violations)


@given(stories(), st.data())
def test_in_any_history_an_acknowledged_event_cannot_go_unnoticed(
    story: Story, data: st.DataObject
) -> None:
    acknowledged = [
        (attempt.sent.stream, version)
        for attempt in story.history.attempts
        if attempt.answered is not None
        for version in attempt.answered.versions
    ]
    if not acknowledged:
        return
    stream, version = data.draw(st.sampled_from(acknowledged))
    entries = story.log.streams[stream]
    del entries[version - 1]

    assert "lost" in {violation.kind for violation in check_all(story)}


@pytest.mark.timeout(60)  # about 1 s; comparing each with each would take an hour
def test_50_000_commands_are_checked_in_a_moment() -> None:
    story = Story()
    for number in range(50_000):
        stream = f"account/{number % 200}"
        story.command(f"n{number}", "some data", stream=stream, before=1_000, after=1_000)

    assert check_all(story) == []


# What the planted faults are made with.


def append(story: Story, command: str, *data: str, stream: str = ACCOUNT) -> None:
    """Add events behind the back of the history."""
    entries = story.log.streams[stream]
    partition = entries[0].partition
    places = story.log.feeds[partition]
    for text in data:
        entry = Entry(stream, len(entries) + 1, partition, len(places) + 1, command, text)
        entries.append(entry)
        places.append(Place(entry.position, stream, entry.version))


def torn(story: Story) -> tuple[Entry, Entry]:
    """A command whose two events have another one between them; nobody was told of it."""
    story.command("apart", "left", "right", outcome="unknown", stored=False)
    append(story, "apart", "left")
    story.command("between", "other")
    append(story, "apart", "right")
    left, _, right = story.log.streams[ACCOUNT][-3:]
    return left, right


def change(
    story: Story,
    command: str,
    *,
    sent: dict[str, Any] | None = None,
    answered: dict[str, Any] | None = None,
    attempt: int = 0,
) -> None:
    """Change one of the attempts of a command."""
    attempts = story.history.attempts
    found = [each for each in attempts if each.sent.command == command][attempt]
    changed = found._replace(sent=replace(found.sent, **(sent or {})))
    if answered and found.answered is not None:
        changed = changed._replace(answered=replace(found.answered, **answered))
    attempts[attempts.index(found)] = changed


def change_read(story: Story, **changes: Any) -> None:
    """Change the last read."""
    story.history.reads[-1] = replace(story.history.reads[-1], **changes)


def feed(story: Story) -> list[Place]:
    return story.log.feeds[story.log.streams[ACCOUNT][0].partition]
