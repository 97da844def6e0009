"""Order in real time: what ended before something else began comes before it, for all to see."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

from tests.faults.history import Attempt, Read
from tests.faults.log import Entry, Log, digest
from tests.faults.violation import Violation, violation


class Deed(NamedTuple):
    """A command that is in the log: ``last`` is its last event.

    It took effect between ``began`` (when it was first sent) and ``ended`` (when somebody was first
    told; None for never), in nanoseconds.
    """

    command: str
    last: Entry
    began: int
    ended: int | None
    attempts: list[Attempt]

    def lines(self) -> list[str]:
        return [line for attempt in self.attempts for line in attempt.lines()] + [str(self.last)]


def order_violations(deeds: Sequence[Deed], reads: Sequence[Read], log: Log) -> Iterator[Violation]:
    yield from _check_feed_order(deeds)
    by_stream: dict[str, list[Deed | Read]] = defaultdict(list)
    for read in reads:
        by_stream[read.stream].append(read)
    for deed in deeds:
        if deed.last.stream in by_stream:  # without a read the feed has said it all
            by_stream[deed.last.stream].append(deed)
    for stream, happenings in by_stream.items():
        entries = log.streams.get(stream, [])
        yield from _check_prefixes([each for each in happenings if isinstance(each, Read)], entries)
        yield from _check_reads(happenings)


def _check_feed_order(deeds: Iterable[Deed]) -> Iterator[Violation]:
    """A feed has all events of its partition in one order, and within it that of each stream."""
    by_partition: dict[int, list[Deed]] = defaultdict(list)
    for deed in deeds:
        by_partition[deed.last.partition].append(deed)
    for one in by_partition.values():
        earliest: Deed | None = None  # of those that stand later: the one that ended first
        for deed in sorted(one, key=lambda deed: -deed.last.position):
            if earliest is not None and _ended(earliest) < deed.began:
                sentence = (
                    f"{earliest.command} was acknowledged before {deed.command} was sent, and "
                    "comes after it"
                )
                yield violation("order", sentence, *earliest.lines(), *deed.lines())
            earliest = deed if earliest is None else min(earliest, deed, key=_ended)


def _check_prefixes(reads: Iterable[Read], entries: Sequence[Entry]) -> Iterator[Violation]:
    digests = [0]
    for entry in entries:
        digests.append(digest([entry.data], digests[-1]))
    for read in reads:
        if read.version >= len(digests):
            sentence = f"somebody read a version that {read.stream} does not have any more"
            yield violation("not a prefix", sentence, read, *entries[-1:])
        elif read.digest is not None and read.digest != digests[read.version]:
            sentence = f"somebody read events of {read.stream} that are not those of the log"
            yield violation("not a prefix", sentence, read, *entries[: read.version][-3:])


def _check_reads(happenings: Sequence[Deed | Read]) -> Iterator[Violation]:
    """Of one stream: each read sees all that had ended when it began, and nothing from after it."""
    earliest: Read | None = None  # of what stands later, the read and the deed that ended first
    earliest_deed: Deed | None = None
    later_first = sorted(happenings, key=_place, reverse=True)
    for _, same_place in groupby(later_first, key=_place):
        together = list(same_place)
        for each in together:
            yield from _seen_too_early(each, earliest)
            if isinstance(each, Read):
                yield from _not_seen(each, earliest_deed)
        for each in together:
            if isinstance(each, Read):
                earliest = each if earliest is None else min(earliest, each, key=_ended)
            else:
                earliest_deed = (
                    each if earliest_deed is None else min(earliest_deed, each, key=_ended)
                )


def _seen_too_early(each: Deed | Read, later: Read | None) -> Iterator[Violation]:
    if later is None or later.ended >= each.began:
        return
    if isinstance(each, Read):
        yield violation("read order", f"reads of {each.stream} went back", later, each)
    else:
        sentence = f"somebody saw {each.command} before it was sent"
        yield violation("read order", sentence, later, *each.lines())


def _not_seen(read: Read, later: Deed | None) -> Iterator[Violation]:
    if later is not None and _ended(later) < read.began:
        sentence = f"{later.command} was acknowledged, and a later read did not see it"
        yield violation("read order", sentence, *later.lines(), read)


def _place(each: Deed | Read) -> int:
    """Where it stands in its stream: a read of version 7 stands between 7 and 8."""
    return 2 * each.version + 1 if isinstance(each, Read) else 2 * each.last.version


def _ended(each: Deed | Read) -> float:
    return float("inf") if each.ended is None else each.ended
