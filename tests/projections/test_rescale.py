"""From one worker to four and back to two, under load: each event once, in order, evenly shared."""

import os
import random
import signal
from pathlib import Path

import anyio
import pytest

from tests.faults.proxy import proxy_to
from tests.projections.applied import applied, differences
from tests.projections.appliedtable import applied_table
from tests.projections.crew import crew_at_work
from whence.store.embedded import EmbeddedServer
from whence.store.eventstore import open_store

PARTITIONS = 16


@pytest.mark.parametrize("kind", ["valkey", "cluster"])
async def test_workers_that_come_are_killed_paused_and_sent_away(
    request: pytest.FixtureRequest, kind: str, namespace: str
) -> None:
    url: str = request.getfixturevalue(f"{kind}_url")
    seed = random.randrange(2**32)
    async with (
        open_store(url, namespace=namespace, partitions=PARTITIONS) as store,
        crew_at_work(store, url, seed) as crew,
    ):
        (first,) = crew.hire(1)
        await crew.until_shared_by([first])

        second, third, fourth = crew.hire(3)
        await crew.until_shared_by([first, second, third, fourth])

        await crew.pause(second)  # for longer than its leases: the others have all of it
        await crew.until_shared_by([first, third, fourth])
        crew.wake(second)
        await crew.until_shared_by([first, second, third, fourth])

        crew.kill(third)
        await crew.until_shared_by([first, second, fourth])
        await crew.dismiss(first)
        await crew.until_shared_by([second, fourth])


async def test_with_lost_replies_and_a_server_that_is_killed_in_the_midst(
    tmp_path: Path, sql_url: str
) -> None:
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    server = EmbeddedServer.start(tmp_path / "data")
    try:
        async with (
            open_store(server.url, partitions=PARTITIONS) as store,
            proxy_to(server.url) as proxy,
            crew_at_work(store, proxy.url, seed, sql_url) as crew,
        ):
            (first,) = crew.hire(1)
            await crew.until_shared_by([first])
            second, third, fourth = crew.hire(3)
            await crew.until_shared_by([first, second, third, fourth])
            # From here on: a worker that cannot open its store at the start does not start.
            proxy.lose_reply = lambda _: chance.random() < 0.01

            crew.kill(first)
            os.kill(server.pid, signal.SIGKILL)
            await anyio.to_thread.run_sync(server.stop)
            server = await anyio.to_thread.run_sync(EmbeddedServer.start, tmp_path / "data")
            await crew.until_shared_by([second, third, fourth])
            await crew.pause(second)
            await crew.until_shared_by([third, fourth])
            crew.wake(second)
            crew.kill(third)
            await crew.until_shared_by([second, fourth])
            proxy.lose_reply = lambda _: False
        assert proxy.lost > 0
    finally:
        server.stop()


async def test_a_worker_that_is_stopped_while_it_holds_a_sqlite_file(
    valkey_url: str, namespace: str, sqlite_url: str
) -> None:
    """Nobody else can write, and when it goes on, or is killed, each event is applied once."""
    seed = random.randrange(2**32)
    async with (
        open_store(valkey_url, namespace=namespace, partitions=PARTITIONS) as store,
        crew_at_work(store, valkey_url, seed, sqlite_url) as crew,
    ):
        (first,) = crew.hire(1)
        await crew.until_shared_by([first])
        await crew.pause_within_transaction(first)
        applied_by_then = await crew.count(applied_table)
        (second,) = crew.hire(1)
        await crew.until_view_shared_by(applied, [second])
        assert await crew.count(applied_table) == applied_by_then
        crew.wake(first)
        await crew.until_shared_by([first, second])

        await crew.dismiss(second)
        await crew.until_shared_by([first])
        await crew.pause_within_transaction(first)
        crew.kill(first)
        (third,) = crew.hire(1)
        await crew.until_shared_by([third])


class TestTheChecker:
    """A check that cannot fail proves nothing."""

    LOGGED = {0: ["1 a/1@1", "2 a/2@1", "3 a/1@2"]}  # noqa: RUF012

    @pytest.mark.parametrize("applied", [[], ["1 a/1@1"], ["1 a/1@1", "2 a/2@1", "3 a/1@2"]])
    def test_takes_a_beginning_of_the_log(self, applied: list[str]) -> None:
        assert differences({0: applied}, self.LOGGED) == []

    @pytest.mark.parametrize(
        "applied",
        [
            ["2 a/2@1"],
            ["1 a/1@1", "1 a/1@1"],
            ["1 a/1@1", "3 a/1@2"],
            ["1 a/1@1", "2 a/2@1", "3 a/1@2", "3 a/1@2"],
        ],
    )
    def test_sees_what_is_left_out_repeated_or_out_of_order(self, applied: list[str]) -> None:
        (wrong,) = differences({0: applied}, self.LOGGED)
        assert (wrong.partition, wrong.at) == (0, len(applied) - 1)
