"""One partition's next events and what they make of its rows: pure, between reading and commit."""

from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from whence.projections.fetch import Damaged, Fetched
from whence.projections.notes import Note, Skip, Skipped
from whence.projections.projection import Projection, Projector, in_redis
from whence.projections.views import Operation, Put, Update
from whence.store.errors import InvalidRow, ProjectionFailed
from whence.store.ids import StreamId

_NO_NOTES: Mapping[StreamId, Note | None] = MappingProxyType({})
_NO_SKIPS: Mapping[Skipped, Skip] = MappingProxyType({})
_NO_REQUESTS: Mapping[StreamId, bytes] = MappingProxyType({})


class Entries(NamedTuple):
    """What goes out of the indexes of a view, and what comes in."""

    old: Sequence[bytes] = ()
    new: Sequence[bytes] = ()


_NO_ENTRIES = Entries()


class Change(NamedTuple):
    """What to commit: rows by key, None for a row to delete, after ``events`` events.

    ``position`` and ``anchor`` are those of the last event in it. ``notes`` are those of parked
    sequences, None for one that waits no longer; ``skips`` are the events that are skipped from now
    on; ``answered`` are the requests that are done with, by the bytes that were read of them.
    ``entries`` are those of the indexes that change with the rows.
    ``steps`` are what is asked of a SQL view, event by event, which has no ``rows`` then.
    """

    rows: dict[str, bytes | None]
    events: int
    position: int
    anchor: str
    notes: Mapping[StreamId, Note | None] = _NO_NOTES
    skips: Mapping[Skipped, Skip] = _NO_SKIPS
    answered: Mapping[StreamId, bytes] = _NO_REQUESTS
    steps: Sequence["Step"] = ()
    entries: "Entries" = _NO_ENTRIES


class Step(NamedTuple):
    """What one event's handlers ask of a SQL view; ``number`` counts within the batch."""

    number: int
    operations: Sequence[Any]


class Refused(NamedTuple):
    """The events of a batch that a database would not take, by number, and what it said."""

    errors: Mapping[int, Exception]


class Batch:
    """The operations that a projection wants for a piece of a feed, or of a parked sequence.

    An event that cannot be applied parks its stream from there on, and all others go on: ``parked``
    says which, and why. Where there is no room to park it, it ends the batch before it: ``failure``
    says why, and the events before it still count.

    Args:
        parked: streams whose events wait already.
        skipped: events that a person has decided to do without.
        room: how many more streams may be parked.
    """

    def __init__(
        self,
        projection: Projector,
        records: Sequence[Fetched],
        *,
        parked: Collection[StreamId] = (),
        skipped: Collection[Skipped] = (),
        room: int = 0,
    ) -> None:
        self.failure: ProjectionFailed | None = None
        self.parked: dict[StreamId, Note] = {}
        self.errors: dict[StreamId, Exception] = {}  # what was raised, of those that are parked
        # The keys of the stored rows that updates start from, or that indexes name.
        self.wanted: set[str] = set()
        self._projection = projection
        self._records = records
        self._waiting = len(parked)
        self._room = room
        self._good = len(records)  # so many of them are dealt with, as far as is known
        self._steps: list[tuple[int, Fetched, Sequence[Operation]]] = []
        self._read(parked, skipped)

    def settle(self, stored: Mapping[str, bytes | None]) -> Change | None:
        """Apply the operations to the stored rows; None when not even one event can be passed.

        Those of a SQL view are applied by its database, which may refuse some: see ``refuse``.
        """
        projection = self._projection
        if not in_redis(projection):
            return self._change({}, self._asked())
        draft = _Draft(projection, stored)
        for number, record, operations in self._steps:
            if self._waits(record):
                continue
            try:
                draft.apply(operations)
            except Exception as error:  # whatever a change raises
                if not self._park(number, record, error):
                    break
        change = self._change(draft.written, ())
        return change and change._replace(entries=draft.entries())

    def refuse(self, refused: Refused) -> None:
        """These events cannot be applied either; ``settle`` does without them from now on."""
        for number, error in sorted(refused.errors.items()):
            record = self._records[number]
            if not self._waits(record) and not self._park(number, record, error):
                break

    def _change(self, rows: dict[str, bytes | None], steps: Sequence[Step]) -> Change | None:
        if not self._good:
            self.parked.clear()
            return None
        last = self._records[self._good - 1]
        self.parked = {s: n for s, n in self.parked.items() if n.position <= last.position}
        return Change(rows, self._good, last.position, last.anchor, self.parked, steps=steps)

    def _asked(self) -> list[Step]:
        return [
            Step(number, operations)
            for number, record, operations in self._steps
            if number < self._good and not (self.parked and self._waits(record))
        ]

    def _read(self, parked: Collection[StreamId], skipped: Collection[Skipped]) -> None:
        """Ask the handlers."""
        by_key = in_redis(self._projection)  # others have no stored rows to load
        indexed = _is_indexed(self._projection)
        handle = self._projection.handle
        exempt = bool(parked or skipped)
        changed_by: dict[str, StreamId] = {}  # which stream was the first to change a row
        for number, record in enumerate(self._records):
            stream = record.stream
            if (exempt and (stream in parked or (stream, record.version) in skipped)) or (
                self.parked and stream in self.parked
            ):
                continue
            try:
                if type(record) is Damaged:
                    raise record.error
                operations = handle(record)
            except Exception as error:  # whatever a handler raises
                if not self._park(number, record, error):
                    break
                continue
            if not operations:
                continue
            self._steps.append((number, record, operations))
            if not by_key:
                continue
            for operation in operations:
                key = operation.key
                # What another stream makes of a row is not made when that one is parked after all.
                if indexed or (type(operation) is Update and changed_by.get(key) is not stream):
                    self.wanted.add(key)
                changed_by.setdefault(key, stream)

    def _waits(self, record: Fetched) -> bool:
        note = self.parked.get(record.stream)
        return note is not None and record.version >= note.version

    def _park(self, number: int, record: Fetched, error: Exception) -> bool:
        """Park a stream from this event on; False if the batch has to end before it instead."""
        if record.stream not in self.parked and len(self.parked) >= self._room:
            self._end_before(number, record, error)
            return False
        self.parked[record.stream] = Note.of(record, error)
        self.errors[record.stream] = error
        return True

    def _end_before(self, number: int, record: Fetched, error: Exception) -> None:
        parked = self._waiting + len(self.parked)
        self.failure = _failed(self._projection.name, record, error, parked)
        self._good = number


class _Draft:
    """Rows as they are after the events so far."""

    def __init__(self, projection: Projection[Any], stored: Mapping[str, bytes | None]) -> None:
        self._codec = projection.rows
        self._indexes = projection.indexes if projection.indexes.fields else None
        self._stored = stored
        self._before: dict[str, set[bytes]] = {}  # what the indexes have of a row
        self._after: dict[str, set[bytes]] = {}
        self._rows: dict[str, Any] = {}
        self.written: dict[str, bytes | None] = {}

    def apply(self, operations: Sequence[Operation]) -> None:
        """All operations of one event, or none if one of them cannot be applied."""
        rows: dict[str, Any] = {}
        for operation in operations:
            key = operation.key
            if type(operation) is Update:
                row = rows[key] if key in rows else self._row(key)
                rows[key] = operation.change(self._start(operation) if row is None else row)
            else:
                rows[key] = operation.row if type(operation) is Put else None
        encode = self._codec.encode
        data = {key: None if row is None else encode(key, row) for key, row in rows.items()}
        if self._indexes is not None:
            after = {key: self._indexes.members(key, row) for key, row in rows.items()}
            for key in rows.keys() - self._before.keys():
                self._before[key] = self._indexes.stored_members(key, self._stored[key])
            self._after |= after
        self._rows |= rows
        self.written |= data

    def entries(self) -> Entries:
        old = {entry for key in self._after for entry in self._before[key]}
        new = {entry for entries in self._after.values() for entry in entries}
        return Entries(sorted(old - new), sorted(new - old))

    def _row(self, key: str) -> Any:
        if key not in self._rows:
            data = self._stored[key]
            self._rows[key] = None if data is None else self._codec.decode(key, data)
        return self._rows[key]

    def _start(self, operation: Update) -> Any:
        if operation.start is None:
            raise InvalidRow(
                self._codec.projection,
                operation.key,
                "an update without start needs the row, and it is not there",
            )
        return operation.start


def _is_indexed(projection: Projector) -> bool:
    return in_redis(projection) and bool(projection.indexes.fields)


def _failed(projection: str, record: Fetched, error: Exception, parked: int) -> ProjectionFailed:
    why = f"{type(error).__name__}: {error}"
    if parked:
        why += f"; {parked} aggregates of this partition are parked, and no more of them may be"
    failure = ProjectionFailed(
        projection,
        record.partition,
        record.position,
        f"{record.type or 'an event'}, version {record.version} of {record.stream}",
        why,
    )
    failure.__cause__ = error
    return failure
