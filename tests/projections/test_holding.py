"""What the holder of partitions says of one that stands still."""

import logging
from collections.abc import Mapping, Sequence

import pytest

from whence.projections.holding import Holding
from whence.projections.lease import Lease
from whence.projections.settings import WorkerSettings
from whence.store.errors import (
    OutcomeUnknown,
    ProjectionFailed,
    ServerRefused,
    StoreUnavailable,
    WhenceError,
)
from whence.store.eventstore import EventStore

WHERE = "redis://127.0.0.1"


async def halted(store: EventStore, error: WhenceError) -> str:
    """Halt a partition because of an error; what was noted for people."""
    notes: list[str] = []

    async def begin(leases: Sequence[Lease]) -> Mapping[int, WhenceError]:
        raise AssertionError(f"{leases} were not asked for")

    async def note_failure(_: Lease, failure: str) -> None:
        notes.append(failure)

    holding = Holding(
        store,
        "reaction",
        "counts",
        "worker",
        WorkerSettings(),
        store.address.wire(),
        partitions=[0],
        begin=begin,
        note_failure=note_failure,
    )
    await holding.halt(Lease(0, 1, 7, "", "", 0.0), error)
    (note,) = notes
    return note


@pytest.mark.parametrize(
    "error",
    [
        StoreUnavailable(WHERE, "connection refused"),
        OutcomeUnknown("an append to ticket/1", "connection refused"),
        ServerRefused("to append to ticket/1", "NOPERM"),
    ],
)
async def test_a_server_s_trouble_is_told_in_a_sentence(
    store: EventStore, caplog: pytest.LogCaptureFixture, error: WhenceError
) -> None:
    error.__cause__ = ConnectionRefusedError("connection refused")
    assert await halted(store, error) == str(error)
    (line,) = [r for r in caplog.records if r.levelno == logging.ERROR]
    assert line.getMessage().endswith(str(error))
    assert "partition 0 of reaction counts is halted at position 7" in line.getMessage()
    assert not line.exc_info


async def test_what_domain_code_raised_is_told_with_its_traceback(
    store: EventStore, caplog: pytest.LogCaptureFixture
) -> None:
    error = ProjectionFailed("counts", 0, 8, "Opened", "ZeroDivisionError")
    error.__cause__ = cause = ZeroDivisionError()
    await halted(store, error)
    (line,) = [r for r in caplog.records if r.levelno == logging.ERROR]
    assert line.exc_info
    assert line.exc_info[1] is cause
