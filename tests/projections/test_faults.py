"""What goes wrong under a worker, and what the view is like afterwards."""

import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from tests.faults.proxy import proxy_to
from tests.projections.domain import (
    QUICK,
    CountRow,
    Counts,
    ParcelRow,
    Parcels,
    Sent,
    Weighed,
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
from whence.projections.parked import parked_sequences
from whence.projections.rebuild import rebuild
from whence.projections.settings import WorkerSettings
from whence.projections.status import status, wait_until_caught_up
from whence.store.embedded import EmbeddedServer
from whence.store.eventstore import EventStore, open_store
from whence.store.ids import StreamId

ROOT = Path(__file__).parents[2]


def neighbours(store: EventStore) -> tuple[StreamId, StreamId]:
    """Two parcels in different partitions."""
    first = parcel(0)
    partition = store.keys.partition(first)
    return first, next(s for s in map(parcel, range(1, 99)) if store.keys.partition(s) != partition)


async def roll_back(store: EventStore, stream: StreamId) -> None:
    """As a restored backup: the partition of a stream has lost its events; the view stays."""
    feed = store.keys.feed(store.keys.partition(stream))
    await store.ask("DEL", feed, store.keys.stream(stream))


class Halting(Parcels, name="parcels", on_failure="halt"):
    pass


class TestAPoisonedEventWhereTheProjectionHalts:
    async def test_halts_its_partition_and_no_other(
        self, store: EventStore, caplog: pytest.LogCaptureFixture
    ) -> None:
        healthy, poisoned = neighbours(store)
        await record(store, poisoned, Sent("Riga"), Weighed(1))
        await record(store, parcel(f"{poisoned.id}"), Weighed(2))
        lonely = parcel(next(
            n for n in range(99, 999)
            if store.keys.partition(parcel(n)) == store.keys.partition(poisoned)
        ))  # fmt: skip
        await record(store, lonely, Weighed(3))  # no row: it was never sent
        await record(store, poisoned, Weighed(4))
        async with working(store, only(Halting)):
            number = store.keys.partition(poisoned)
            found = await until(store, lambda found: found[number].failure != "", parcels)
            await record(store, healthy, Sent("Oslo"))
            await until(
                store, lambda found: found[store.keys.partition(healthy)].position == 1, parcels
            )
            # Tried again and again, it is still there, and what follows it has to wait.
            tries = found[number].epoch + 3
            found = await until(store, lambda found: found[number].epoch >= tries, parcels)
        assert found[number].position == 3
        assert found[number].lag == 2
        assert f"cannot apply Weighed, version 1 of {lonely}" in found[number].failure
        assert await view_of(store, parcels) == {
            poisoned.id: ParcelRow("Riga", 2, events=3),
            healthy.id: ParcelRow("Oslo", 0),
        }
        errors = [r for r in caplog.records if r.levelno == logging.ERROR]
        assert f"version 1 of {lonely}" in errors[0].getMessage()

    async def test_is_applied_once_the_handler_is_mended(
        self, store: EventStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        number = store.keys.partition(parcel(1))
        await record(store, parcel(1), Sent("Riga"), Weighed(1))

        class Mending(Counts, name="counts", on_failure="halt"):
            broken = True

            def handle(self, record):  # type: ignore[no-untyped-def]  # pyright: ignore
                if self.broken and record.version == 2:
                    raise ZeroDivisionError
                return super().handle(record)

        async with working(store, only(Mending)):
            found = await until(store, lambda found: found[number].failure != "")
            assert "ZeroDivisionError" in found[number].failure
            monkeypatch.setattr(Mending, "broken", False)
            await wait_until_caught_up(store, counts)
            assert (await status(store, counts))[number].failure == ""
        assert await view_of(store, counts) == {"1": CountRow(2)}


class TestALogThatChanged:
    async def test_a_rollback_halts_the_partition_until_a_rebuild(self, store: EventStore) -> None:
        intact, lost = neighbours(store)
        number = store.keys.partition(lost)
        await record(store, lost, Sent("Riga"), Weighed(1))
        async with working(store, only(Counts)):
            await wait_until_caught_up(store, counts)
        await roll_back(store, lost)
        # As long as before, so a position alone would not tell.
        await record(store, lost, Sent("Oslo"), Weighed(2), Weighed(3))
        async with working(store, only(Counts)):
            found = await until(store, lambda found: found[number].failure != "")
            assert "the log was rolled back under it" in found[number].failure
            assert f"{lost}@2#" in found[number].failure
            assert f"at position 2 of partition {number}, where the log" in found[number].failure
            assert "run `whence projections rebuild counts`" in found[number].failure
            await record(store, intact, Sent("Riga"))
            await until(store, lambda found: found[store.keys.partition(intact)].position == 1)
            assert (await status(store, counts))[number].position == 2
            assert (await view_of(store, counts))[lost.id] == CountRow(2)
            await rebuild(store, counts)
            await wait_until_caught_up(store, counts)
            await record(store, lost, Weighed(4))
            await wait_until_caught_up(store, counts)
        assert await view_of(store, counts) == {lost.id: CountRow(4), intact.id: CountRow(1)}

    async def test_a_rollback_under_a_running_worker_is_noticed(self, store: EventStore) -> None:
        number = store.keys.partition(parcel(1))
        await record(store, parcel(1), Sent("Riga"), Weighed(1))
        async with working(store, only(Counts)):
            await wait_until_caught_up(store, counts)
            await roll_back(store, parcel(1))
            await record(store, parcel(1), Sent("Oslo"))
            found = await until(store, lambda found: found[number].failure != "")
        assert "where the log now has no event" in found[number].failure

    async def test_a_view_of_another_store_is_not_continued(self, store: EventStore) -> None:
        await record(store, parcel(1), Sent("Riga"))
        number = store.keys.partition(parcel(1))
        async with working(store, only(Counts)):
            await wait_until_caught_up(store, counts)
        await store.ask("HSET", store.keys.checkpoint(number, "counts"), "log", "another")
        async with working(store, only(Counts)):
            found = await until(store, lambda found: found[number].failure != "")
        assert "of store another" in found[number].failure

    async def test_a_missing_position_halts_the_partition_and_no_other(
        self, store: EventStore
    ) -> None:
        intact, torn = neighbours(store)
        number = store.keys.partition(torn)
        await record(store, torn, Sent("Riga"), Weighed(1), Weighed(2))
        await store.ask("XDEL", store.keys.feed(number), "0-2")
        await record(store, intact, Sent("Riga"))
        async with working(store, only(Counts)):
            found = await until(store, lambda found: found[number].failure != "")
            await until(store, lambda found: found[store.keys.partition(intact)].lag == 0)
        assert "goes on at position 3 where 2 should be" in found[number].failure
        assert found[number].position <= 1

    async def test_every_batch_is_checked_for_a_gap_and_not_only_the_first(
        self, store: EventStore
    ) -> None:
        number = store.keys.partition(parcel(1))
        await record(store, parcel(1), Sent("Riga"), *[Weighed(n) for n in range(5)])
        await store.ask("XDEL", store.keys.feed(number), "0-5")
        settings = WorkerSettings(lease_ms=3_000, poll_ms=50, retry_ms=20, batch=1)
        async with working(store, only(Counts), settings):
            found = await until(store, lambda found: found[number].failure != "")
        assert found[number].position == 4
        assert f"the feed of partition {number} goes on at position 6 where 5 should be" in (
            found[number].failure
        )
        assert await view_of(store, counts) == {"1": CountRow(4)}

    async def test_an_event_that_the_feed_names_and_nobody_has_is_a_lost_one(
        self, store: EventStore
    ) -> None:
        number = store.keys.partition(parcel(1))
        await record(store, parcel(1), Sent("Riga"))
        await store.ask("DEL", store.keys.stream(parcel(1)))
        async with working(store, only(Counts)):
            found = await until(store, lambda found: found[number].failure != "")
        assert f"the feed names version 1 of {parcel(1)} at position 1" in found[number].failure
        assert (found[number].position, found[number].parked) == (0, 0)

    async def test_a_foreign_entry_in_a_feed_halts_the_partition_and_no_other(
        self, store: EventStore
    ) -> None:
        intact, torn = neighbours(store)
        number = store.keys.partition(torn)
        async with working(store, only(Counts)):
            await until(store, lambda found: all(x.owner for x in found))
            await store.ask("XADD", store.keys.feed(number), "0-1", "what", "is this")
            await record(store, intact, Sent("Riga"))
            failure = await self._failure_of(store, number)
            assert "a feed has an entry that Whence did not write" in failure
            with anyio.fail_after(10):
                while await view_of(store, counts) != {intact.id: CountRow(1)}:
                    await anyio.sleep(0.01)

    async def _failure_of(self, store: EventStore, number: int) -> str:
        """What the checkpoint says; the status would need the head of the torn feed."""
        with anyio.fail_after(10):
            while True:
                found = await store.ask("HGET", store.keys.checkpoint(number, "counts"), "failure")
                if found:
                    return str(found, "utf-8")
                await anyio.sleep(0.01)

    async def test_an_event_with_changed_bytes_is_an_aggregate_s_fault_and_not_the_log_s(
        self, store: EventStore
    ) -> None:
        intact, torn = neighbours(store)
        number = store.keys.partition(torn)
        await record(store, torn, Sent("Riga"))
        key = store.keys.stream(torn)
        ((_, fields),) = await store.ask("XRANGE", key, "-", "+")
        changed = [b'{"city":"Rigi"}' if b"Riga" in f else f for f in fields]
        await store.ask_many([("DEL", key), ("XADD", key, "0-1", *changed)])
        await record(store, intact, Sent("Riga"))
        async with working(store, only(Counts)):
            await wait_until_caught_up(store, counts)
        # The checkpoint stands on the damaged event, which is no reason for the next one to stop.
        async with working(store, only(Counts)):
            # It has the second epoch, and has tried the parked event again under it.
            found = await until(store, lambda found: found[number].epoch > 2)
        (parked,) = await parked_sequences(store, counts)
        assert (parked.stream, parked.note.version, parked.note.position) == (torn, 1, 1)
        assert f"version 1 of {torn} does not match its checksum" in parked.note.reason
        assert parked.waiting == 1
        assert (found[number].failure, found[number].parked) == ("", 1)
        assert await view_of(store, counts) == {intact.id: CountRow(1)}


class TestAnotherReaderOfTheGroup:
    """A worker that was paused within its blocking read comes back to it."""

    async def test_an_event_it_takes_away_is_applied_all_the_same(self, store: EventStore) -> None:
        number = store.keys.partition(parcel(1))
        feed = store.keys.feed(number)
        async with working(store, only(Counts)):
            await until(store, lambda found: all(x.owner for x in found))
            await record(store, parcel(1), Sent("Riga"))
            await wait_until_caught_up(store, counts)
            # No event follows, so no gap would ever show.
            await store.ask("XGROUP", "SETID", feed, "counts", "0-2")
            await record(store, parcel(1), Weighed(1))
            await wait_until_caught_up(store, counts)
        assert await view_of(store, counts) == {"1": CountRow(2)}

    async def test_a_gap_that_it_leaves_is_read_again(self, store: EventStore) -> None:
        number = store.keys.partition(parcel(1))
        settings = WorkerSettings(lease_ms=60_000, poll_ms=60_000)
        async with working(store, only(Counts), settings):
            await record(store, parcel(1), Sent("Riga"))
            await wait_until_caught_up(store, counts)
            await store.ask("XGROUP", "SETID", store.keys.feed(number), "counts", "0-2")
            await record(store, parcel(1), Weighed(1), Weighed(2))
            await wait_until_caught_up(store, counts)
        assert await view_of(store, counts) == {"1": CountRow(3)}

    async def test_events_that_it_brings_back_are_not_applied_again(
        self, store: EventStore
    ) -> None:
        number = store.keys.partition(parcel(1))
        async with working(store, only(Counts)):
            await record(store, parcel(1), Sent("Riga"), Weighed(1))
            await wait_until_caught_up(store, counts)
            await store.ask("XGROUP", "SETID", store.keys.feed(number), "counts", "0-0")
            await record(store, parcel(1), Weighed(2))
            await wait_until_caught_up(store, counts)
        assert await view_of(store, counts) == {"1": CountRow(3)}


class TestALostReply:
    @pytest.mark.parametrize("mark", [b":feed", b"committed", b"acquired"])
    async def test_neither_loses_nor_repeats_an_event(
        self, valkey: EmbeddedServer, namespace: str, mark: bytes
    ) -> None:
        """Of the read, of the commit, of the acquisition: each goes back to the checkpoint."""
        streams = [parcel(n) for n in range(50)]
        async with (
            proxy_to(valkey.url) as proxy,
            open_store(valkey.url, namespace=namespace, partitions=4) as direct,
            open_store(proxy.url, namespace=namespace) as store,
        ):
            chances = iter([True, False, False, True, False, True])
            proxy.lose_reply = lambda chunk: mark in chunk and next(chances, False)
            async with working(store, only(Counts)):
                await record_many(direct, streams, Sent("Riga"))
                for stream in streams[::5]:
                    await record(direct, stream, Weighed(1))
                await wait_until_caught_up(direct, counts, timeout_s=30)
            assert proxy.lost >= 1
            expected = {s.id: CountRow(await direct.head(s)) for s in streams}
            assert await view_of(direct, counts) == expected


class TestAServerThatRestarts:
    async def test_the_worker_waits_and_goes_on(self, tmp_path: Path) -> None:
        server = EmbeddedServer.start(tmp_path / "data")
        try:
            async with (
                open_store(server.url, partitions=4) as store,
                working(store, only(Counts)),
            ):
                await record(store, parcel(1), Sent("Riga"))
                await wait_until_caught_up(store, counts)
                await anyio.to_thread.run_sync(server.stop)
                server = await anyio.to_thread.run_sync(EmbeddedServer.start, tmp_path / "data")
                await record(store, parcel(1), Weighed(1))
                await wait_until_caught_up(store, counts)
                assert await view_of(store, counts) == {"1": CountRow(2)}
                # New leases, for with them go the checks: it might be another server by now.
                assert min(x.epoch for x in await status(store, counts)) >= 2
        finally:
            server.stop()


class TestAKilledWorker:
    async def test_kill_9_leaves_no_event_out_and_applies_none_twice(
        self, valkey: EmbeddedServer, namespace: str
    ) -> None:
        streams = [parcel(n) for n in range(3_000)]
        async with open_store(valkey.url, namespace=namespace, partitions=8) as store:
            await record_many(store, streams, Sent("Riga"))
            for target in (300, 900, 1_500):
                with subprocess.Popen(
                    [
                        sys.executable,
                        "-m",
                        "tests.projections.worker_process",
                        store.address.url,
                        namespace,
                    ],
                    cwd=ROOT,
                ) as process:
                    await until(store, lambda found, t=target: sum(x.position for x in found) >= t)  # type: ignore[misc]
                    os.kill(process.pid, signal.SIGKILL)
            begun = sum(x.position for x in await status(store, counts))
            assert begun < 3_000, "the last worker was not killed in the middle"
            async with working(store, only(Counts), QUICK):
                await wait_until_caught_up(store, counts, timeout_s=20)
            seen: dict[str, CountRow] = {}
            for n in range(8):
                flat = await store.ask("HGETALL", store.keys.view(n, "counts"))
                for key, row in zip(flat[::2], flat[1::2], strict=True):
                    seen[key.decode()] = counts.rows.decode("", row)
            assert seen == {s.id: CountRow(1) for s in streams}
