"""Where the partitions of a SQL view stand, as its own database has it, and who may move them."""

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, Table, bindparam, literal, select

from whence.projections.batch import Change
from whence.projections.database import upsert
from whence.projections.lease import Lease
from whence.projections.notes import encode, parse_notes, parse_skips
from whence.projections.sqltables import checkpoints, parked, skipped

_MOVE = (
    checkpoints.update()
    .where(
        checkpoints.c.projection == bindparam("name"),
        checkpoints.c.partition == bindparam("number"),
        checkpoints.c.position == bindparam("old"),
        checkpoints.c.epoch == bindparam("fence"),
    )
    .values(
        position=bindparam("next"),
        anchor=bindparam("stand"),
        epoch=bindparam("fence_after"),
    )
)


class Notes(NamedTuple):
    """What a partition goes on without, as Redis keeps it: names and documents in turn."""

    parked: list[bytes]
    skipped: list[bytes]


class SqlStanding:
    """The checkpoints of one projection in its database; every method is part of a transaction.

    Args:
        log: the uuid of the store, for new checkpoints.
    """

    def __init__(self, projection: str, log: str) -> None:
        self._projection = projection
        self._log = log

    def take(self, connection: Connection, leases: Sequence[Lease]) -> dict[int, Notes]:
        """Fence off whoever had these partitions, and let the leases stand where the view stands.

        Returns the notes of each partition.
        """
        leases = sorted(leases, key=lambda lease: lease.partition)
        new = [
            {
                "projection": self._projection,
                "partition": lease.partition,
                "position": 0,
                "anchor": "",
                "log": self._log,
                "epoch": 1,
            }
            for lease in leases
        ]
        insert = upsert(connection, checkpoints).values(new)
        taken = insert.on_conflict_do_update(
            index_elements=[checkpoints.c.projection, checkpoints.c.partition],
            set_={"epoch": checkpoints.c.epoch + 1},
        ).returning(*checkpoints.c)
        rows = {row.partition: row for row in connection.execute(taken)}
        notes = self._notes(connection, list(rows))
        for lease in leases:
            row, found = rows[lease.partition], notes[lease.partition]
            lease.position, lease.anchor, lease.log = row.position, row.anchor, row.log
            lease.fence = row.epoch
            lease.parked = {stream: note for stream, (_, note) in parse_notes(found.parked).items()}
            lease.skipped = set(parse_skips(found.skipped))
        return notes

    def lost(
        self, connection: Connection, leases: Sequence[Lease], *, lock: bool = True
    ) -> list[int]:
        """The partitions that do not stand where their leases do; the others stay locked."""
        asked = (
            select(checkpoints.c.partition, checkpoints.c.position, checkpoints.c.epoch)
            .where(checkpoints.c.projection == self._projection)
            .where(checkpoints.c.partition.in_([x.partition for x in leases]))
            .order_by(checkpoints.c.partition)
        )
        rows = connection.execute(asked.with_for_update() if lock else asked)
        found = {row.partition: (row.position, row.epoch) for row in rows}
        ours = {lease.partition: (lease.position, lease.fence) for lease in leases}
        return [n for n in found.keys() | ours.keys() if found.get(n) != ours.get(n)]

    def move(self, connection: Connection, moved: Sequence[tuple[Lease, Change]]) -> None:
        """Write down where these partitions stand now, and what they go on without."""
        if not moved:
            return
        rows = [
            {
                "name": self._projection,
                "number": lease.partition,
                "old": lease.position,
                "fence": lease.fence,
                # As in Redis: no commit leaves both as they are.
                "fence_after": lease.fence + (change.position == lease.position),
                "next": change.position,
                "stand": change.anchor,
            }
            for lease, change in moved
        ]
        count = connection.execute(_MOVE, rows).rowcount
        assert count == len(rows), "they are locked since their epochs were read"
        now = time.time_ns() // 1_000
        for lease, change in moved:
            if change.notes or change.skips:
                self._note(connection, lease.partition, change, now)

    def reset(self, connection: Connection) -> None:
        """All partitions stand before the first event, and nothing is parked."""
        ours = checkpoints.c.projection == self._projection
        start = {"position": 0, "anchor": "", "log": self._log}
        connection.execute(checkpoints.update().where(ours).values(start))
        connection.execute(parked.delete().where(parked.c.projection == self._projection))

    def skip_as(self, connection: Connection, other: str) -> None:
        """Skip what is skipped under the name of another generation."""
        connection.execute(skipped.delete().where(skipped.c.projection == self._projection))
        kept = [column for column in skipped.c if column is not skipped.c.projection]
        theirs = select(literal(self._projection), *kept).where(skipped.c.projection == other)
        connection.execute(skipped.insert().from_select([skipped.c.projection, *kept], theirs))

    def _note(self, connection: Connection, partition: int, change: Change, now: int) -> None:
        place: dict[str, Any] = {"projection": self._projection, "partition": partition}
        for stream, note in change.notes.items():
            if note is None:
                connection.execute(
                    parked.delete().where(
                        parked.c.projection == self._projection, parked.c.stream == str(stream)
                    )
                )
            else:
                text = encode(note).decode()
                insert = upsert(connection, parked).on_conflict_do_update(
                    index_elements=[parked.c.projection, parked.c.stream], set_={"note": text}
                )
                row = {**place, "stream": str(stream), "since_us": now, "note": text}
                connection.execute(insert, row)
        for event, skip in change.skips.items():
            text = encode(skip).decode()
            insert = upsert(connection, skipped).on_conflict_do_nothing()
            connection.execute(insert, {**place, "event": str(event), "at_us": now, "skip": text})

    def _notes(self, connection: Connection, partitions: Sequence[int]) -> dict[int, Notes]:
        found = {number: Notes([], []) for number in partitions}
        for row in self._rows(connection, parked, partitions):
            document = f"{row.since_us} {row.note}"
            found[row.partition].parked.extend((row.stream.encode(), document.encode()))
        for row in self._rows(connection, skipped, partitions):
            document = f"{row.at_us} {row.skip}"
            found[row.partition].skipped.extend((row.event.encode(), document.encode()))
        return found

    def _rows(self, connection: Connection, table: Table, partitions: Sequence[int]) -> Any:
        return connection.execute(
            table.select()
            .where(table.c.projection == self._projection, table.c.partition.in_(partitions))
            .order_by(table.c.partition)
        )
