"""A view is made anew beside the live one: what readers see, and what the switch leaves behind."""

import asyncio
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest

from tests.projections.domain import (
    QUICK,
    CountRow,
    Counts,
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
    until,
    view_of,
    working,
)
from tests.projections.stored import (
    EVENTS,
    all_owned,
    events_in,
    keys_of,
    raw,
    some_history,
    writing,
)
from tests.store.servers import EVERYWHERE
from whence.projections.catchup import reach
from whence.projections.freshness import Freshness, LogPosition
from whence.projections.generations import generations
from whence.projections.parked import parked_sequences, skipped_events
from whence.projections.projection import Projector
from whence.projections.query import find, get
from whence.projections.rebuild import drop_previous, rebuild, rollback
from whence.projections.requests import skip
from whence.projections.settings import WorkerSettings
from whence.projections.status import status, wait_until_caught_up
from whence.projections.succession import Succession
from whence.store.errors import ViewHalted
from whence.store.eventstore import EventStore, open_store
from whence.store.recorded import Recorded

PROJECT = Path(__file__).resolve().parents[2]
# What counts is that every event is in a view exactly once: a sum tells.
SLOW = WorkerSettings(batch=1, poll_ms=50, lease_ms=3_000)


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

    async def test_waits_for_no_more_than_a_log_has_that_became_shorter(
        self, store: EventStore
    ) -> None:
        await record(store, parcel(1), Sent("Riga"))
        await rebuild(store, counts, settings=QUICK)
        longer = {store.keys.partition(parcel(1)): 99}

        async with asyncio.timeout(30):
            await reach(store, counts.generation(2), longer)

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
