"""Who comes late, or at the same time: what the generations of a view are after it."""

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest

from tests.projections.domain import QUICK, CountRow, Sent, counts, parcel, record, view_of
from whence.projections import switching
from whence.projections.generations import generations
from whence.projections.lease import Leases
from whence.projections.rebuild import rebuild
from whence.projections.settings import WorkerSettings
from whence.projections.succession import Fence, Succession
from whence.store.eventstore import EventStore

Clear = Callable[..., Awaitable[None]]


@pytest.fixture
def paused(monkeypatch: pytest.MonkeyPatch) -> tuple[anyio.Event, anyio.Event]:
    """The first one to clear the keys of a generation stops: when it has come there, and until."""
    came, go_on = anyio.Event(), anyio.Event()
    clear: Clear = vars(Succession)["_clear"]

    async def pause(self: Succession, *args: Any, **kwargs: Any) -> None:
        if not came.is_set():
            came.set()
            await go_on.wait()
        await clear(self, *args, **kwargs)

    monkeypatch.setattr(Succession, "_clear", pause)
    return came, go_on


async def test_who_is_late_to_clear_a_generation_clears_nothing_of_others(
    store: EventStore,
    paused: tuple[anyio.Event, anyio.Event],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    came, go_on = paused
    monkeypatch.setattr("whence.projections.succession._CLEARING_MS", 0)
    await record(store, parcel(1), Sent("Riga"))
    begun: list[tuple[int, bool]] = []

    async def late() -> None:
        begun.append(await Succession(store, counts).begin("person"))

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(late)
            await came.wait()
            assert (await rebuild(store, counts, settings=QUICK)).live
            go_on.set()
    assert await view_of(store, counts) == {"1": CountRow(1)}
    found = await generations(store, counts)
    assert (found.live, found.building, begun) == (3, 4, [(4, False)])


async def test_two_that_begin_at_once_begin_one_generation(
    store: EventStore, paused: tuple[anyio.Event, anyio.Event]
) -> None:
    came, go_on = paused
    begun: list[tuple[int, bool]] = []

    async def begin() -> None:
        begun.append(await Succession(store, counts).begin("person"))

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(begin)
            await came.wait()
            tasks.start_soon(begin)
            await anyio.wait_all_tasks_blocked()
            go_on.set()
    assert sorted(begun) == [(2, False), (2, True)]
    assert (await generations(store, counts)).newest == 2


async def test_a_switch_that_comes_too_late_changes_nothing(store: EventStore) -> None:
    """By then the leases on the live generation have ended, and others have moved it on."""
    succession = Succession(store, counts)
    await succession.begin("person")
    assert await succession.switch(1, 2, Fence(until_ms=1)) == 1
    assert (await succession.look()).live == 1
    assert await succession.switch(1, 2) == 2


async def test_a_switch_from_which_the_live_one_was_taken_changes_nothing(
    store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    wire = store.address.wire()
    thief = Leases(store, "counts", "thief", 60_000, wire)

    async def steal(*_: object) -> None:
        await thief.acquire([3], force=True)

    await record(store, parcel(1), Sent("Riga"))
    await rebuild(store, counts, settings=QUICK, check=no)
    with monkeypatch.context() as patched:
        patched.setattr(switching, "_carry_skips", steal)
        assert await switching.switch(store, counts, 2, WorkerSettings()) is None
    assert (await generations(store, counts)).live == 1
    assert await switching.switch(store, counts, 2, WorkerSettings()) == 2
    await wire.close()


async def no(*_: object) -> bool:
    return False
