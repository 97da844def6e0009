"""A view is made anew beside the live one: what readers see, and what the switch leaves behind."""

import signal
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from tests.projections.domain import (
    QUICK,
    CountRow,
    Counts,
    Delivered,
    ParcelRow,
    Parcels,
    Sent,
    Weighed,
    cities,
    counts,
    only,
    parcel,
    parcels,
    record,
    record_many,
    until,
    view_of,
    working,
)
from tests.store.servers import EVERYWHERE
from whence.projections.batch import Change
from whence.projections.checkpoint import Checkpoints
from whence.projections.freshness import Freshness, LogPosition
from whence.projections.generations import generations, outdated
from whence.projections.lease import Leases
from whence.projections.parked import parked_sequences, skipped_events
from whence.projections.projection import Projection, Projector
from whence.projections.query import find, get
from whence.projections.rebuild import abandon, drop_previous, rebuild, rollback
from whence.projections.requests import skip
from whence.projections.settings import WorkerSettings
from whence.projections.status import status, wait_until_caught_up
from whence.projections.succession import Succession
from whence.store.errors import LeaseLost, NoGeneration, RevisionMismatch, ViewHalted
from whence.store.eventstore import EventStore, open_store
from whence.store.recorded import Recorded

PROJECT = Path(__file__).resolve().parents[2]
EVENTS = 258
# What counts is that every event is in a view exactly once: a sum tells.
SLOW = WorkerSettings(batch=1, poll_ms=50, lease_ms=3_000)


async def some_history(store: EventStore) -> None:
    streams = [parcel(n) for n in range(200)]
    await record_many(store, streams[:120], Sent("Riga", 10))
    await record_many(store, streams[120:], Sent("Oslo", 20))
    for stream in streams[::7]:
        await record(store, stream, Weighed(11), Delivered())


async def events_in(store: EventStore, projection: Projection[Any] = counts) -> int:
    return sum(row.events for row in (await view_of(store, projection)).values())


async def keys_of(store: EventStore, name: str) -> set[bytes]:
    """The keys of the partitions that a generation has."""
    replies = await store.replies_of_each(("KEYS", f"{{{store.keys.namespace}:*:{name}"))
    return {key for (keys,) in replies.values() for key in keys}


async def raw(store: EventStore, name: str) -> dict[bytes, bytes]:
    """A view as it is stored."""
    numbers = range(store.keys.partitions)
    replies = await store.ask_many([("HGETALL", store.keys.view(n, name)) for n in numbers])
    return {k: v for flat in replies for k, v in zip(flat[::2], flat[1::2], strict=True)}


@asynccontextmanager
async def writing(store: EventStore) -> AsyncGenerator[None]:
    """Somebody who weighs parcels all the time."""

    async def write() -> None:
        n = 0
        while True:
            await record(store, parcel(n % 50), Weighed(n))
            n += 1

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(write)
        yield
        tasks.cancel_scope.cancel()


class TestTheNextGeneration:
    pytestmark = EVERYWHERE

    @pytest.mark.parametrize("projection", [parcels, cities, counts], ids=lambda p: p.name)
    async def test_equals_the_one_before(self, store: EventStore, projection: Any) -> None:
        async with working(store):
            await some_history(store)
            await wait_until_caught_up(store, projection)
        live = await raw(store, projection.name)
        seen: list[tuple[int, int]] = []
        report = await rebuild(
            store,
            projection,
            progress=lambda done, total: seen.append((done, total)),
            settings=WorkerSettings(batch=10, poll_ms=50),
        )
        assert await raw(store, f"{projection.name}@2") == live
        assert (report.generation, report.events, report.live) == (2, EVENTS, True)
        assert seen[-1] == (EVENTS, EVENTS)
        assert seen == sorted(seen)
        assert (await generations(store, projection)).previous == 1

    async def test_is_followed_by_the_workers_from_then_on(self, store: EventStore) -> None:
        async with working(store) as worker:
            await some_history(store)
            await wait_until_caught_up(store, counts)
            for _ in range(3):
                await rebuild(store, counts, settings=QUICK)
                await record(store, parcel(1), Weighed(12))
            await wait_until_caught_up(store, counts)
            assert {x.owner for x in await until(store, all_owned)} == {worker.owner}
        assert (await view_of(store, counts))["1"].events == 4
        found = await generations(store, counts)
        assert (found.live, found.previous, found.building) == (4, 3, None)

    async def test_has_nothing_that_does_not_come_from_an_event(self, store: EventStore) -> None:
        await record(store, parcel(1), Sent("Riga"))
        await store.ask("HSET", store.keys.view(0, "parcels"), "ghost", b'{"city":"?","grams":0}')
        await rebuild(store, parcels)
        assert await view_of(store, parcels) == {"1": ParcelRow("Riga", 0)}

    async def test_of_an_empty_store_is_empty(self, store: EventStore) -> None:
        report = await rebuild(store, counts)
        assert (report.events, report.live) == (0, True)
        assert await view_of(store, counts) == {}

    async def test_begins_anew_where_somebody_has_deleted_the_keys(self, store: EventStore) -> None:
        """What is left of an earlier generation of that number must not be taken for it."""
        await some_history(store)
        await rebuild(store, counts)
        live = await raw(store, "counts@2")
        await store.ask("HSET", store.keys.view(0, "counts@2"), "ghost", b'{"events":9}')
        await store.ask("DEL", store.keys.generations("counts"))
        await rebuild(store, counts)
        assert await raw(store, "counts@2") == live

    async def test_gives_the_same_bytes_after_any_view_was_deleted(self, store: EventStore) -> None:
        async with working(store):
            await some_history(store)
            for projection in (parcels, cities, counts):
                await wait_until_caught_up(store, projection)
        for projection in (parcels, cities, counts):
            live = await raw(store, projection.name)
            for key in await keys_of(store, projection.name):
                await store.ask("DEL", key)
            await rebuild(store, projection)
            assert await raw(store, f"{projection.name}@2") == live


def all_owned(found: list[Any]) -> bool:
    return all(one.owner and not one.owner.startswith(("switch", "rebuild")) for one in found)


class TestReaders:
    async def test_never_see_a_view_that_is_half_built(self, valkey: Any, namespace: str) -> None:
        """Under writes, with a worker: rows are all there, and none of them goes back."""
        async with (
            open_store(valkey.url, namespace=namespace, partitions=8) as store,
            working(store, only(Counts)),
        ):
            await some_history(store)
            await wait_until_caught_up(store, counts)
            seen: dict[str, int] = {}
            looks = 0

            async def read() -> None:
                nonlocal looks
                while True:
                    page = await find(store, counts, limit=1_000)
                    assert page.total == 200
                    for key, row in page.rows:
                        assert row.events >= seen.get(key, 1), key
                        seen[key] = row.events
                    looks += 1

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(read)
                async with writing(store):
                    for _ in range(3):
                        report = await rebuild(store, counts, settings=QUICK)
                        assert report.live
                    await rollback(store, counts, settings=QUICK)
                tasks.cancel_scope.cancel()
            assert looks > 1
            await wait_until_caught_up(store, counts)
            heads = await store.feed_heads(range(8))
            assert await events_in(store) == sum(heads)

    async def test_find_what_they_have_waited_for_across_switches(
        self, valkey: Any, namespace: str
    ) -> None:
        async with (
            open_store(valkey.url, namespace=namespace, partitions=8) as store,
            working(store, only(Counts)),
        ):
            await some_history(store)
            partition = store.keys.partition(parcel(1))
            freshness = Freshness(store)

            async def write_and_read() -> None:
                while True:
                    await record(store, parcel(1), Weighed(1))
                    version = await store.head(parcel(1))
                    head = await store.feed_head(partition)
                    await freshness.caught_up(counts, LogPosition(partition, head), timeout_s=20)
                    assert await get(store, counts, "1") == CountRow(version)

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(write_and_read)
                for _ in range(4):
                    await rebuild(store, counts, settings=QUICK)
                tasks.cancel_scope.cancel()

    async def test_of_a_certain_generation_see_that_one(self, store: EventStore) -> None:
        await record(store, parcel(1), Sent("Riga"))
        await rebuild(store, counts)
        assert await view_of(store, counts) == {"1": CountRow(1)}
        assert await view_of(store, counts.generation(1)) == {}
        assert await get(store, counts.generation(2), "1") == CountRow(1)


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


class TestARebuildThatIsStopped:
    async def test_is_finished_by_the_next_call(self, store: EventStore) -> None:
        await some_history(store)
        with anyio.CancelScope() as scope:

            def stop(done: int, total: int) -> None:
                if 0 < done < total:
                    scope.cancel()

            await rebuild(store, counts, progress=stop, settings=SLOW)
        assert scope.cancelled_caught
        assert await view_of(store, counts) == {}
        begun = await status(store, counts.generation(2))
        assert {one.owner for one in begun} == {""}
        report = await rebuild(store, counts)
        assert (report.generation, report.resumed, report.live) == (2, True, True)
        assert await events_in(store) == EVENTS

    async def test_is_built_by_the_workers_and_waits_for_a_person(self, store: EventStore) -> None:
        await some_history(store)
        await Succession(store, counts).begin("person")
        async with working(store, only(Counts)):
            await wait_until_caught_up(store, counts.generation(2))
            assert (await generations(store, counts)).building == 2
            report = await rebuild(store, counts, settings=QUICK)
        assert (report.resumed, report.live) == (True, True)
        assert await events_in(store) == EVENTS

    async def test_by_kill_9_loses_nothing(self, valkey: Any, namespace: str) -> None:
        async with open_store(valkey.url, namespace=namespace, partitions=8) as store:
            await some_history(store)
            command = [sys.executable, "-m", "tests.projections.rebuild_process"]
            with subprocess.Popen([*command, valkey.url, namespace], cwd=PROJECT) as process:
                try:
                    await until(
                        store, lambda found: any(x.position for x in found), counts.generation(2)
                    )
                finally:
                    process.send_signal(signal.SIGKILL)
            assert (await generations(store, counts)).building == 2
            assert await view_of(store, counts) == {}
            report = await rebuild(store, counts, settings=QUICK)
            assert (report.generation, report.resumed, report.live) == (2, True, True)
            assert await events_in(store) == EVENTS

    async def test_begins_anew_where_the_log_was_rolled_back_under_it(
        self, store: EventStore
    ) -> None:
        async def not_yet(*_: Projector) -> bool:
            return False

        lost = parcel(1)
        await record(store, lost, Sent("Riga"), Weighed(1))
        built = await rebuild(store, counts, settings=QUICK, check=not_yet)
        assert (built.generation, built.live) == (2, False)
        resumed = await rebuild(store, counts, settings=QUICK, check=not_yet)
        assert (resumed.generation, resumed.resumed) == (2, True)
        # As a restored backup: the partition has other events than the new generation has passed.
        feed = store.keys.feed(store.keys.partition(lost))
        await store.ask("DEL", feed, store.keys.stream(lost))
        await record(store, lost, Sent("Oslo"))

        report = await rebuild(store, counts, settings=QUICK)
        assert (report.generation, report.resumed, report.live) == (3, False, True)
        assert await events_in(store) == 1

    async def test_by_an_event_that_cannot_be_applied_names_it(self, store: EventStore) -> None:
        class Halting(Parcels, name="parcels", on_failure="halt"):
            pass

        halting = only(Halting).projection("parcels")
        await record(store, parcel(1), Weighed(5))  # no row to update: it was never sent
        with pytest.raises(
            ViewHalted, match=r"parcels@2 stands still .* Weighed, version 1 of parcel/1"
        ):
            await rebuild(store, halting)
        assert {x.owner for x in await status(store, halting.generation(2))} == {""}
        assert (await generations(store, halting)).live == 1


async def test_two_rebuilds_at_once_build_one_generation(store: EventStore) -> None:
    await some_history(store)
    reports: list[Any] = []

    async def build() -> None:
        reports.append(await rebuild(store, counts, settings=QUICK))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(build)
        tasks.start_soon(build)
    assert [report.live for report in reports] == [True, True]
    found = await generations(store, counts)
    assert found.building is None
    assert await events_in(store) == EVENTS
    if found.live == 2:  # or the second came when the first was done
        assert sorted(report.resumed for report in reports) == [False, True]


async def test_what_is_skipped_while_it_is_built_is_skipped_in_it(
    store: EventStore,
) -> None:
    class Fragile(Counts, name="counts"):
        broken = True

        def handle(self, record: Recorded) -> Any:
            if record.id == "1" and record.version == 2 and self.broken:
                raise ArithmeticError("two")
            return super().handle(record)

    fragile = only(Fragile)
    projection = fragile.projection("counts")
    await record(store, parcel(1), Sent("Riga"), Weighed(1), Weighed(2))
    async with working(store, fragile, QUICK):
        await wait_until_caught_up(store, projection)

        async def decide(old: Projector, new: Projector) -> bool:
            assert [one.stream for one in await parked_sequences(store, new)] == [parcel(1)]
            await skip(store, projection, parcel(1), "no good")
            return True

        report = await rebuild(store, projection, settings=QUICK, check=decide)
    assert report.live
    assert await parked_sequences(store, projection) == []
    (skipped,) = await skipped_events(store, projection)
    assert (skipped.version, skipped.skip.reason) == (2, "no good")
    assert await view_of(store, projection) == {"1": CountRow(2)}


class Doubled(Counts, name="counts", version=2):
    """Counts each event twice: other rows, and so another version."""

    def handle(self, record: Recorded) -> Any:
        operations = super().handle(record)
        return [*operations, *operations]


NEWER = only(Doubled).projection("counts")
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


class TestInACluster:
    async def test_a_view_is_made_anew_and_taken_back(
        self, cluster_url: str, namespace: str
    ) -> None:
        async with (
            open_store(cluster_url, namespace=namespace, partitions=8) as store,
            working(store, only(Counts)),
        ):
            await some_history(store)
            await wait_until_caught_up(store, counts)
            async with writing(store):
                assert (await rebuild(store, counts, settings=QUICK)).live
                assert (await rollback(store, counts, settings=QUICK)).generation == 1
            await wait_until_caught_up(store, counts)
            assert await events_in(store) == sum(await store.feed_heads(range(8)))
            await drop_previous(store, counts)
            assert await raw(store, "counts@2") == {}
