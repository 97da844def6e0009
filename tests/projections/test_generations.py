"""Generations of a view that come back, are dropped, or belong to another version of the code."""

import anyio
import pytest

from tests.projections.domain import (
    NEWER,
    QUICK,
    CountRow,
    Counts,
    Doubled,
    Sent,
    Weighed,
    counts,
    only,
    parcel,
    record,
    until,
    view_of,
    working,
)
from tests.projections.stored import EVENTS, all_owned, events_in, keys_of, raw, some_history
from whence.projections.batch import Change
from whence.projections.checkpoint import Checkpoints
from whence.projections.generations import generations, outdated
from whence.projections.lease import Leases
from whence.projections.rebuild import abandon, drop_previous, rebuild, rollback
from whence.projections.settings import WorkerSettings
from whence.projections.status import wait_until_caught_up
from whence.projections.succession import Succession
from whence.store.errors import LeaseLost, NoGeneration, RevisionMismatch
from whence.store.eventstore import EventStore

# What counts is that every event is in a view exactly once: a sum tells.
SLOW = WorkerSettings(batch=1, poll_ms=50, lease_ms=3_000)
CHANGING = WorkerSettings(
    lease_ms=3_000, poll_ms=50, retry_ms=20, longest_retry_ms=100, rebuild_on_change=True
)


class TestAChangedVersion:
    async def test_leaves_the_view_alone_and_says_so(
        self, store: EventStore, caplog: pytest.LogCaptureFixture
    ) -> None:
        async with working(store, only(Counts)):
            await record(store, parcel(1), Sent("Riga"))
            await wait_until_caught_up(store, counts)
        await record(store, parcel(1), Weighed(1))
        async with working(store, only(Doubled)):
            with anyio.fail_after(10):
                while "run `whence projections rebuild counts`" not in caplog.text:
                    await anyio.sleep(0.01)
            assert await view_of(store, counts) == {"1": CountRow(1)}
            report = await rebuild(store, NEWER, settings=QUICK)
            assert (report.generation, report.live) == (2, True)
            assert await view_of(store, counts) == {"1": CountRow(4)}
            await record(store, parcel(1), Weighed(2))
            await wait_until_caught_up(store, NEWER)
        assert "made by version 1 of its projection, and this code has version 2" in caplog.text
        assert await view_of(store, counts) == {"1": CountRow(6)}

    async def test_makes_it_anew_by_itself_if_so_set(self, store: EventStore) -> None:
        async with working(store, only(Counts)):
            await some_history(store)
            await wait_until_caught_up(store, counts)
            async with working(store, only(Doubled), CHANGING), working(store, only(Doubled)):
                with anyio.fail_after(20):
                    while (await generations(store, counts)).live != 2:
                        await anyio.sleep(0.01)
                assert await events_in(store) == 2 * EVENTS
                await record(store, parcel(1), Weighed(2))
                await wait_until_caught_up(store, NEWER)
                assert await events_in(store) == 2 * EVENTS + 2
            assert (await generations(store, counts)).previous == 1

    async def test_does_not_go_to_and_fro_while_a_release_is_rolled_out(
        self, store: EventStore, caplog: pytest.LogCaptureFixture
    ) -> None:
        async with working(store, only(Counts), CHANGING):
            await some_history(store)
            await wait_until_caught_up(store, counts)
            async with working(store, only(Doubled), CHANGING):
                with anyio.fail_after(20):
                    while "whence projections rollback counts" not in caplog.text:
                        await anyio.sleep(0.01)
                found = await generations(store, counts)
        assert (found.live, found.building, found.previous) == (2, None, 1)

    async def test_of_a_new_view_is_its_first(self, store: EventStore) -> None:
        async with working(store, only(Doubled)):
            await record(store, parcel(1), Sent("Riga"))
            await wait_until_caught_up(store, NEWER)
        found = await generations(store, NEWER)
        assert (found.live, found.live_revision) == (1, "2")
        assert outdated(NEWER, found) == ""
        assert await view_of(store, NEWER) == {"1": CountRow(2)}

    async def test_waits_while_another_version_builds(self, store: EventStore) -> None:
        await record(store, parcel(1), Sent("Riga"))
        await Succession(store, NEWER).begin("person")
        with pytest.raises(RevisionMismatch, match="counts@2, which is being built, was made by"):
            await rebuild(store, counts)
        await abandon(store, counts)
        assert (await rebuild(store, counts)).live


class TestRollback:
    async def test_brings_the_one_before_up_to_date_and_back(self, store: EventStore) -> None:
        async with working(store, only(Counts)):
            await some_history(store)
            await wait_until_caught_up(store, counts)
        await rebuild(store, counts)
        await record(store, parcel(1), Weighed(1), Weighed(2))
        report = await rollback(store, counts)
        assert (report.generation, report.events, report.live) == (1, 2, True)
        assert await events_in(store) == EVENTS + 2
        found = await generations(store, counts)
        assert (found.live, found.previous) == (1, 2)
        await rollback(store, counts)
        assert (await generations(store, counts)).live == 2
        assert await events_in(store) == EVENTS + 2

    async def test_needs_one_that_is_kept(self, store: EventStore) -> None:
        with pytest.raises(NoGeneration, match="the view counts has no previous generation"):
            await rollback(store, counts)
        await record(store, parcel(1), Sent("Riga"))
        await rebuild(store, counts)
        assert await drop_previous(store, counts) == 1
        with pytest.raises(NoGeneration, match="has no previous generation"):
            await rollback(store, counts)
        with pytest.raises(NoGeneration):
            await drop_previous(store, counts)

    async def test_is_the_business_of_the_code_that_made_it(self, store: EventStore) -> None:
        await record(store, parcel(1), Sent("Riga"))
        await rebuild(store, counts)
        await rebuild(store, NEWER)
        with pytest.raises(RevisionMismatch, match=r"made by version 1 .* has version 2: go back"):
            await rollback(store, NEWER)
        await rollback(store, counts)
        assert (await generations(store, counts)).live == 2


class TestWhatIsDropped:
    async def test_leaves_nothing_but_a_lease_that_ends(self, store: EventStore) -> None:
        async with working(store, only(Counts)):
            await some_history(store)
            await wait_until_caught_up(store, counts)
        await rebuild(store, counts)
        await drop_previous(store, counts)
        left = await keys_of(store, "counts")
        assert left == {store.keys.lease(n, "counts").encode() for n in range(8)}
        assert all([await store.ask("PTTL", key) > 0 for key in left])
        for n in range(8):
            groups = await store.ask("XINFO", "GROUPS", store.keys.feed(n))
            assert not any(b"counts" in group for group in groups)

    async def test_is_what_was_kept_before_the_last_switch(self, store: EventStore) -> None:
        await some_history(store)
        for _ in range(3):
            await rebuild(store, counts)
        assert await raw(store, "counts@2") == {}
        assert await raw(store, "counts@3") == await raw(store, "counts@4") != {}

    async def test_is_swept_by_a_worker_where_who_dropped_it_was_killed(
        self, store: EventStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("whence.projections.keeper._SWEEP_AFTER", 0.0)
        async with working(store, only(Counts)):
            await some_history(store)
            await wait_until_caught_up(store, counts)
        await rebuild(store, counts)
        succession = Succession(store, counts)
        await succession.begin("person")
        assert await succession.switch(2, 3) == 3  # and not a step further
        assert (await succession.look()).dropping == [1]
        assert await raw(store, "counts") != {}
        async with working(store, only(Counts)):
            with anyio.fail_after(20):
                while (await succession.look()).dropping:
                    await anyio.sleep(0.01)
        assert await raw(store, "counts") == {}

    async def test_is_not_filled_again_by_a_worker_that_does_not_know(
        self, store: EventStore
    ) -> None:
        await some_history(store)
        await rebuild(store, counts)
        await drop_previous(store, counts)
        wire = store.address.wire()
        late = Leases(store, "counts", "late", 60_000, wire)
        assert await late.acquire(range(8)) == []
        assert await raw(store, "counts") == {}
        await wire.close()

    async def test_fences_a_worker_that_was_paused(self, store: EventStore) -> None:
        await record(store, parcel(1), Sent("Riga"))
        await rebuild(store, counts)
        wire = store.address.wire()
        (lease,) = await Leases(store, "counts", "zombie", 60_000, wire).acquire([0], force=True)
        await drop_previous(store, counts)
        change = Change({"a": b"{}"}, 1, 1, "x/1@1#1")
        (error,) = await Checkpoints(store, "counts", wire).commit([(lease, change)])
        assert isinstance(error, LeaseLost)
        assert await raw(store, "counts") == {}
        await wire.close()

    async def test_may_be_one_that_is_being_built(self, store: EventStore) -> None:
        await some_history(store)
        with pytest.raises(NoGeneration, match="not being built anew"):
            await abandon(store, counts)
        await Succession(store, counts).begin("person")
        async with working(store, only(Counts)):
            await until(store, all_owned, counts.generation(2))
            assert await abandon(store, counts) == 2
            await wait_until_caught_up(store, counts)
        assert await raw(store, "counts@2") == {}
        assert (await generations(store, counts)).live == 1

    async def test_under_a_rebuild_ends_it(self, store: EventStore) -> None:
        await some_history(store)
        async with anyio.create_task_group() as tasks:
            dropped = False

            def drop(done: int, total: int) -> None:
                nonlocal dropped
                if done < total and not dropped:
                    dropped = True
                    tasks.start_soon(abandon, store, counts)

            with pytest.raises(NoGeneration, match="has no generation 2 any more: it was dropped"):
                await rebuild(store, counts, progress=drop, settings=SLOW)
            tasks.cancel_scope.cancel()
