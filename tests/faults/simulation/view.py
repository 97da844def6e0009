"""The view of a simulation: a tally that tells an event left out, applied twice or out of order."""

from collections.abc import Container
from copy import copy
from functools import cache
from zlib import crc32

import msgspec

from tests.faults.domain import Deposited, Withdrawn, model
from tests.faults.log import Log
from whence.projections.projection import Projection, on
from whence.projections.readmodel import ReadModel
from whence.projections.views import Views
from whence.store.ids import StreamId
from whence.store.keys import Keys
from whence.store.recorded import Recorded


class TallyRow(msgspec.Struct, frozen=True):
    events: int = 0
    order: int = 0


class Tally(Projection[TallyRow], on_failure="halt"):
    """One row per account; its order depends on every event that was applied, one by one."""

    @on(Deposited, Withdrawn)
    def any(self, event: Deposited | Withdrawn, record: Recorded, views: Views[TallyRow]) -> None:
        data = record.data.decode()
        views.update(record.id, lambda row: after(row, record.version, data), start=TallyRow())


class Mending:
    """Whether the releases that run can apply withdrawals by now."""

    done = False


class ParkingTally(Tally, name="tally", on_failure="park"):
    """The same view, of releases that cannot apply a withdrawal at first: its account is parked."""

    mending = Mending()

    @on(Deposited, Withdrawn)
    def any(self, event: Deposited | Withdrawn, record: Recorded, views: Views[TallyRow]) -> None:
        if isinstance(event, Withdrawn) and not self.mending.done:
            raise ValueError("a withdrawal")
        super().any(event, record, views)


def new_read_model(mending: Mending | None = None) -> ReadModel:
    """As a process makes it when it starts: what it remembers of generations is its own.

    Args:
        mending: of a view that parks; None for one that halts where it cannot go on.
    """
    if mending is None:
        made = copy(_unused())
        # As the class makes it: it stands for the generation that is live.
        again = made.projection("tally").generation(1)
        again.number = None
        made.projections = {"tally": again}
        return made
    made = ReadModel([ParkingTally], model.events)
    parking = made.projection("tally")
    assert isinstance(parking, ParkingTally)
    parking.mending = mending
    return made


@cache
def _unused() -> ReadModel:
    """Read from its class once: that takes as long as fifty commands."""
    return ReadModel([Tally], model.events)


read_model = ReadModel([Tally], model.events)
tally = read_model.projection("tally")


def after(row: TallyRow, version: int, data: str) -> TallyRow:
    return TallyRow(row.events + 1, crc32(f"{row.order} {version} {data}".encode()))


def folded(log: Log) -> dict[str, TallyRow]:
    """What the view has to be: each event of the log, once, in the order of its stream."""
    rows: dict[str, TallyRow] = {}
    for entries in log.streams.values():
        for entry in entries:
            id_ = entry.stream.partition("/")[2]
            rows[id_] = after(rows.get(id_, TallyRow()), entry.version, entry.data)
    return rows


def differences(
    found: dict[str, TallyRow], log: Log, keys: Keys, partitions: Container[int]
) -> list[str]:
    """Each account of these partitions whose row is not what the log says."""
    wanted = folded(log)
    return [
        f"view: account {id_} is {found.get(id_)} and the log makes it {wanted.get(id_)}"
        for id_ in sorted({*wanted, *found})
        if found.get(id_) != wanted.get(id_)
        and keys.partition(StreamId("account", id_)) in partitions
    ]
