"""One partition's next events and what they make of its rows: pure, between reading and commit."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from whence.projections.projection import Projection
from whence.projections.views import Operation, Put, Update
from whence.store.errors import InvalidRow, ProjectionFailed
from whence.store.recorded import Recorded


class Change(NamedTuple):
    """What to commit: rows by key, None for a row to delete, after ``events`` events.

    ``position`` and ``anchor`` are those of the last event in it.
    """

    rows: dict[str, bytes | None]
    events: int
    position: int
    anchor: str


class Batch:
    """The operations that a projection wants for a contiguous piece of a feed.

    An event that cannot be applied ends the batch before it: ``failure`` says why, and the events
    before it still count.
    """

    def __init__(self, projection: Projection[Any], records: Sequence[Recorded]) -> None:
        self.failure: ProjectionFailed | None = None
        self.wanted: set[str] = set()  # the keys of the stored rows that the updates start from
        self._projection = projection
        self._records = records
        self._good = len(records)  # so many of them can be applied, as far as is known
        self._steps: list[tuple[Recorded, Sequence[Operation]]] = []
        written: set[str] = set()
        for record in records:
            try:
                operations = projection.handle(record)
            except Exception as error:  # whatever a handler raises
                self._end_before(record, error)
                break
            if operations:
                self._steps.append((record, operations))
            for operation in operations:
                key = operation.key
                if key not in written:
                    written.add(key)
                    if type(operation) is Update:
                        self.wanted.add(key)

    def settle(self, stored: Mapping[str, bytes | None]) -> Change | None:
        """Apply the operations to the stored rows; None when not even one event can be applied."""
        draft = _Draft(self._projection, stored)
        for record, operations in self._steps:
            try:
                draft.apply(operations)
            except Exception as error:  # whatever a change raises
                self._end_before(record, error)
                break
        if not self._good:
            return None
        last = self._records[self._good - 1]
        return Change(draft.written, self._good, last.position, last.anchor)

    def _end_before(self, record: Recorded, error: Exception) -> None:
        self.failure = _failed(self._projection.name, record, error)
        self._good = record.position - self._records[0].position


class _Draft:
    """Rows as they are after the events so far."""

    def __init__(self, projection: Projection[Any], stored: Mapping[str, bytes | None]) -> None:
        self._codec = projection.rows
        self._stored = stored
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
        self._rows |= rows
        self.written |= data

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


def _failed(projection: str, record: Recorded, error: Exception) -> ProjectionFailed:
    failure = ProjectionFailed(
        projection,
        record.partition,
        record.position,
        f"{record.type}, version {record.version} of {record.stream}",
        f"{type(error).__name__}: {error}",
    )
    failure.__cause__ = error
    return failure
