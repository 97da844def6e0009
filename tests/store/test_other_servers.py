"""Other servers than the embedded one keep what they have acknowledged, as it was written."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.store.domain import Deposited, Opened, account, append_of
from tests.store.servers import other_server, redis, valkey8
from whence.store.eventstore import open_store
from whence.store.reading import read_all


@pytest.mark.parametrize("binary", [valkey8, redis])
async def test_a_restart_loses_no_event_and_changes_none(
    binary: Callable[[], Path], tmp_path: Path
) -> None:
    with other_server(binary(), tmp_path) as url:
        async with open_store(url, partitions=4) as store:
            for number in range(20):
                events = [Opened("ann"), *map(Deposited, range(number))]
                await store.append(append_of(account(str(number)), 0, *events))
            before = [record async for record in read_all(store)]

    with other_server(binary(), tmp_path) as url:
        async with open_store(url) as store:
            assert [record async for record in read_all(store)] == before
            assert await store.head(account("19")) == 20
            await store.append(append_of(account("19"), 20, Deposited(1)))
