"""Histories that fit their log, made without a server: a checker has to find nothing in them."""

from collections.abc import Sequence
from zlib import crc32

from tests.faults.history import Answered, Attempt, History, Outcome, Read, Sent
from tests.faults.log import Entry, Log, Place, digest

PARTITIONS = 2


class Story:
    """Everything takes effect at the moment it is told; ``before`` and ``after`` (ticks of 100 per
    effect) are how long its caller had been waiting, and went on waiting.
    """

    def __init__(self) -> None:
        self.history = History([], [])
        self.log = Log({}, {partition: [] for partition in range(PARTITIONS)})
        self._now = 0
        self._lines = 0

    def command(
        self,
        name: str,
        *data: str,
        stream: str = "account/1",
        process: str = "1",
        outcome: Outcome | None = "ok",
        stored: bool = True,
        insisting: bool = False,
        before: int = 10,
        after: int = 10,
    ) -> list[Entry]:
        """A command that decides ``data``, one event each; returns what is stored of it.

        ``outcome`` is None for a process that died; ``stored`` tells whether its command got there.
        """
        self._now += 100
        head = len(self.log.streams.get(stream, []))
        expected = head if insisting else None
        sent = self._sent(process, before, stream, name, len(data), expected)
        entries = self._store(stream, name, data) if stored else []
        self._answer(sent, outcome, after, entries)
        return entries

    def again(
        self, name: str, *, process: str, stream: str = "account/1", before: int = 10
    ) -> None:
        """The same command once more: its caller gets the original answer."""
        self._now += 100
        entries = [e for e in self.log.streams[stream] if e.command == name]
        sent = self._sent(process, before, stream, name, len(entries), None)
        self._answer(sent, "ok", 10, entries)

    def read(
        self, stream: str = "account/1", *, process: str = "1", before: int = 10, after: int = 10
    ) -> None:
        self._now += 100
        seen = self.log.streams.get(stream, [])
        began, ended = self._now - before, self._now + after
        mark = digest(entry.data for entry in seen)
        self.history.reads.append(Read(process, began, ended, stream, len(seen), mark))

    def _sent(
        self, process: str, before: int, stream: str, name: str, events: int, expected: int | None
    ) -> Sent:
        self._lines += 1
        at = self._now - before
        return Sent(process, self._lines, at, stream, name, events, expected)

    def _answer(
        self, sent: Sent, outcome: Outcome | None, after: int, entries: Sequence[Entry]
    ) -> None:
        answered = None
        if outcome is not None:
            told = entries if outcome == "ok" else ()
            answered = Answered(
                sent.process,
                sent.number,
                self._now + after,
                outcome,
                tuple(entry.version for entry in told),
                told[-1].position if told else 0,
                tuple(entry.data for entry in told),
            )
        self.history.attempts.append(Attempt(sent, answered))

    def _store(self, stream: str, name: str, data: Sequence[str]) -> list[Entry]:
        entries = self.log.streams.setdefault(stream, [])
        partition = crc32(stream.encode()) % PARTITIONS
        feed = self.log.feeds[partition]
        for text in data:
            entry = Entry(stream, len(entries) + 1, partition, len(feed) + 1, name, text)
            entries.append(entry)
            feed.append(Place(entry.position, stream, entry.version))
        return entries[len(entries) - len(data) :]
