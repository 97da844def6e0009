"""The history checker: does the log keep every promise that the processes were given?

The promises: what was acknowledged is present once, at its version and position, byte for byte.
Versions and positions are contiguous, and each feed points to each event once. The events of one
command stand together and are complete. What was refused has left nothing, and nothing is there
that nobody sent. What ended before something else began comes before it. Every read is a prefix of
the final log, and reads never go back.

Commands whose outcome nobody was told may have happened or not: both are right, but not a part.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from tests.faults.history import NOTHING_STORED, Answered, Attempt, History
from tests.faults.log import Entry, Log, Place
from tests.faults.order import Deed, order_violations
from tests.faults.violation import Violation, violation


class _Command(NamedTuple):
    """One command to one stream: each time that it was sent, and all that the log has of it."""

    name: str
    stream: str
    attempts: list[Attempt]
    entries: list[Entry]

    @property
    def told(self) -> Attempt | None:
        """The first attempt whose caller was told what it has stored."""
        oks = [a for a in self.attempts if a.answered is not None and a.answered.versions]
        return min(oks, key=lambda attempt: _answer(attempt).at, default=None)

    def evidence(self) -> list[str]:
        lines = [line for attempt in self.attempts for line in attempt.lines()]
        return [*lines, *map(str, self.entries)]


def check(history: History, log: Log) -> list[Violation]:
    """All violations, in no particular order; an empty list is what a test wants to see."""
    commands = _commands(history, log)
    deeds = [deed for command in commands if (deed := _deed(command)) is not None]
    return [
        *(found for entries in log.streams.values() for found in _check_versions(entries)),
        *_check_feeds(log),
        *(found for command in commands for found in _check_command(command, log)),
        *order_violations(deeds, history.reads, log),
    ]


def _commands(history: History, log: Log) -> list[_Command]:
    attempts: dict[tuple[str, str], list[Attempt]] = defaultdict(list)
    entries: dict[tuple[str, str], list[Entry]] = defaultdict(list)
    for attempt in history.attempts:
        attempts[attempt.sent.stream, attempt.sent.command].append(attempt)
    for stored in log.streams.values():
        for entry in stored:
            entries[entry.stream, entry.command].append(entry)
    return [
        _Command(name, stream, attempts.get((stream, name), []), entries.get((stream, name), []))
        for stream, name in {**attempts, **entries}
    ]


def _deed(command: _Command) -> Deed | None:
    if not command.entries or not command.attempts:
        return None
    began = min(attempt.sent.at for attempt in command.attempts)
    ended = None if command.told is None else _answer(command.told).at
    return Deed(command.name, command.entries[-1], began, ended, command.attempts)


def _check_versions(entries: Sequence[Entry]) -> Iterator[Violation]:
    for expected, (before, entry) in enumerate(zip([None, *entries], entries, strict=False), 1):
        if entry.version != expected:
            sentence = f"{entry.stream} has version {entry.version} where {expected} belongs"
            yield violation("versions", sentence, *filter(None, [before]), entry)
            return


def _check_feeds(log: Log) -> Iterator[Violation]:
    stored = {(e.stream, e.version): e for entries in log.streams.values() for e in entries}
    pointed: set[tuple[str, int]] = set()
    for partition, places in log.feeds.items():
        yield from _check_positions(partition, places)
        yield from _check_pointers(partition, places, stored)
        pointed |= {(place.stream, place.version) for place in places}
    for place, entry in stored.items():
        if place not in pointed:
            sentence = f"no feed points to {entry.stream}@{entry.version}"
            yield violation("pointer", sentence, entry)


def _check_positions(partition: int, places: Sequence[Place]) -> Iterator[Violation]:
    for expected, (before, place) in enumerate(zip([None, *places], places, strict=False), 1):
        if place.position != expected:
            sentence = (
                f"the feed of partition {partition} has position {place.position} where "
                f"{expected} belongs"
            )
            yield violation("positions", sentence, *filter(None, [before]), place)
            return


def _check_pointers(
    partition: int, places: Sequence[Place], stored: Mapping[tuple[str, int], Entry]
) -> Iterator[Violation]:
    versions: dict[str, int] = {}
    for place in places:
        entry = stored.get((place.stream, place.version))
        if entry is None:
            sentence = f"a feed points to {place.stream}@{place.version}, which does not exist"
            yield violation("pointer", sentence, place)
        elif (entry.partition, entry.position) != (partition, place.position):
            yield violation("pointer", "an event and its pointer disagree", place, entry)
        elif place.version <= versions.get(place.stream, 0):
            sentence = f"{place.stream} comes in another order in the feed than in its stream"
            yield violation("pointer", sentence, place, entry)
        versions[place.stream] = place.version


def _check_command(command: _Command, log: Log) -> Iterator[Violation]:
    if not command.attempts:
        sentence = f"nobody has sent {command.name} to {command.stream}, and the log has it"
        yield violation("phantom", sentence, *command.entries)
        return
    if command.entries and all(_stored_nothing(attempt) for attempt in command.attempts):
        sentence = f"{command.name} was refused each time, and the log has events of it"
        yield violation("refused but stored", sentence, *command.evidence())
        return
    told = command.told
    if told is None:
        yield from _check_untold(command)
    else:
        yield from _check_told(command, _answer(told), log)
        yield from _check_answers(command, told)
    yield from _check_expected(command)


def _check_untold(command: _Command) -> Iterator[Violation]:
    """Nobody knows whether it was stored; but if so, then once, together, and all of it."""
    stored, decided = len(command.entries), command.attempts[0].sent.events
    if decided is not None and stored > decided:
        sentence = f"{command.name} decides {decided} events, and {stored} are stored"
        yield violation("duplicate", sentence, *command.evidence())
    elif not _contiguous([entry.version for entry in command.entries]):
        yield _split(command)
    elif decided is not None and 0 < stored < decided:
        yield _incomplete(command, stored, decided)


def _check_told(command: _Command, told: Answered, log: Log) -> Iterator[Violation]:
    found = {entry.version: entry for entry in command.entries}
    for version, data in zip(told.versions, told.data, strict=True):
        entry = found.pop(version, None)
        if entry is None:
            there = [e for e in log.streams.get(command.stream, []) if e.version == version]
            sentence = f"{command.stream}@{version} was acknowledged and is not there"
            yield violation("lost", sentence, *command.evidence(), *there)
        elif entry.data != data:
            sentence = f"{command.stream}@{version} was acknowledged as {data}"
            yield violation("changed", sentence, *command.evidence())
        elif version == told.versions[-1] and entry.position != told.position:
            sentence = f"{command.stream}@{version} is not at the position that was acknowledged"
            yield violation("moved", sentence, *command.evidence())
    if found:
        sentence = f"{command.name} was acknowledged once and stored more than once"
        yield violation("duplicate", sentence, *command.evidence())
    if not _contiguous(told.versions):
        yield _split(command)
    decided = command.attempts[0].sent.events
    if decided is not None and len(told.versions) != decided:
        yield _incomplete(command, len(told.versions), decided)


def _check_answers(command: _Command, told: Attempt) -> Iterator[Violation]:
    """Whoever sends it again after somebody was told is told the same, or that nobody knows."""
    first = _answer(told)
    for attempt in command.attempts:
        answer = attempt.answered
        if answer is None or answer.outcome in {"unknown", "unavailable"}:
            continue
        if answer.versions:
            same = answer.versions == first.versions and answer.data == first.data
        else:
            same = attempt.sent.at < first.at
        if not same:
            sentence = f"{command.name} was sent again and got another answer"
            yield violation("answers differ", sentence, *told.lines(), *attempt.lines())


def _check_expected(command: _Command) -> Iterator[Violation]:
    wanted = {attempt.sent.expected for attempt in command.attempts}
    if not command.entries or None in wanted:
        return
    if command.entries[0].version - 1 not in wanted:
        sentence = f"{command.name} insisted on a version and was stored after another"
        yield violation("wrong version", sentence, *command.evidence())


def _split(command: _Command) -> Violation:
    sentence = f"the events of {command.name} do not stand together"
    return violation("split", sentence, *command.evidence())


def _incomplete(command: _Command, stored: int, decided: int) -> Violation:
    sentence = f"{command.name} decides {decided} events, and {stored} are stored"
    return violation("incomplete", sentence, *command.evidence())


def _contiguous(versions: Sequence[int]) -> bool:
    return not versions or list(versions) == list(range(versions[0], versions[0] + len(versions)))


def _stored_nothing(attempt: Attempt) -> bool:
    decided_nothing = attempt.outcome == "ok" and not _answer(attempt).versions
    return decided_nothing or attempt.outcome in NOTHING_STORED


def _answer(attempt: Attempt) -> Answered:
    assert attempt.answered is not None, "only attempts with an answer come here"
    return attempt.answered
