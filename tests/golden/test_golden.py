"""What a release has stored, this code reads: each folder v* here is a data directory of one.

A failure means that stored events are lost to this code. The folder is right, and stays as it is.
"""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import anyio
import msgspec
import pytest

from examples.orders.domain import Order
from tests.golden.contents import contents, model, projections, rows
from tests.golden.domain import domain
from whence import Runtime, open_store
from whence.actors.history import state_at
from whence.actors.runtime import CommandRequest
from whence.projections.rebuild import rebuild
from whence.projections.status import status, wait_until_caught_up
from whence.projections.worker import Worker
from whence.store.embedded import EmbeddedServer
from whence.store.errors import CommandIdReused
from whence.store.eventstore import EventStore
from whence.store.ids import StreamId

RELEASES = sorted(Path(__file__).parent.glob("v*"))


class Golden(NamedTuple):
    """A copy of a data directory, opened, and what is in it."""

    store: EventStore
    expected: dict[str, Any]


@pytest.fixture(params=RELEASES, ids=lambda folder: folder.name)
async def golden(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Golden]:
    folder: Path = request.param
    shutil.copytree(folder / "data", tmp_path / "data")
    expected = msgspec.json.decode((folder / "expected.json").read_bytes())
    with EmbeddedServer.start(tmp_path / "data") as server:
        async with open_store(server.url) as store:
            yield Golden(store, expected)


def requests(golden: Golden) -> list[tuple[CommandRequest, list[int]]]:
    """The commands that are remembered, and what they were answered."""
    found: list[tuple[CommandRequest, list[int]]] = []
    for one in golden.expected["remembered"]:
        kind = model.aggregate(one["aggregate"])
        command = kind.command(one["command"])
        arguments = command.decode(msgspec.json.encode(one["arguments"]))
        request = CommandRequest(kind, command, one["id"], arguments, None, one["command_id"])
        found.append((request, one["answer"]))
    return found


async def caught_up(store: EventStore) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(Worker(store, domain.read_model).run)
        for projection in projections.values():
            await wait_until_caught_up(store, projection, timeout_s=30)
        tasks.cancel_scope.cancel()


def test_there_is_a_directory_of_this_release() -> None:
    assert RELEASES


async def test_it_tells_what_it_told_then(golden: Golden) -> None:
    found = msgspec.json.decode(msgspec.json.encode(await contents(golden.store)))

    assert golden.store.keys.partitions == golden.expected["partitions"]
    assert golden.store.identity.uuid == golden.expected["identity"]
    assert found["streams"].keys() == golden.expected["streams"].keys()
    for name, stream in golden.expected["streams"].items():
        assert_tells(found["streams"][name], stream, name)
    assert_tells(found["views"], golden.expected["views"], "views")


def assert_tells(found: Any, expected: Any, where: str) -> None:
    """All that was expected is there; a state may have fields that it had not then."""
    if isinstance(expected, dict):
        for key, value in expected.items():  # pyright: ignore[reportUnknownVariableType]
            assert key in found, f"{where} lacks {key}"
            assert_tells(found[key], value, f"{where}.{key}")
    elif isinstance(expected, list):
        assert len(found) == len(expected), where  # pyright: ignore[reportUnknownArgumentType]
        for index, value in enumerate(expected):  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
            assert_tells(found[index], value, f"{where}[{index}]")
    else:
        assert found == expected, where


async def test_its_views_are_what_a_rebuild_makes(golden: Golden) -> None:
    for name, projection in projections.items():
        report = await rebuild(golden.store, projection)

        assert report.events > 0
        assert_tells(await rows(golden.store, name), golden.expected["views"][name], name)


async def test_workers_go_on_at_its_checkpoints(golden: Golden) -> None:
    for projection in projections.values():
        assert [one.lag for one in await status(golden.store, projection) if one.lag] == []
    async with Runtime(golden.store, model) as runtime:
        await runtime.send(Order.ship, "3", "DHL")

    await caught_up(golden.store)

    before = golden.expected["views"]["order-list"]
    after = await rows(golden.store, "order-list")
    assert after == {**before, "3": {**before["3"], "status": "shipped"}}
    for projection in projections.values():
        assert not any(one.failure for one in await status(golden.store, projection))


async def test_its_command_ids_are_still_recognised(golden: Golden) -> None:
    async with Runtime(golden.store, model) as runtime:
        for request, answer in requests(golden):
            before = await golden.store.head(StreamId(request.kind.name, request.id))
            receipt = await runtime.execute(request)

            assert receipt.repeated
            assert [receipt.version, receipt.position, receipt.occurred_at_us] == answer
            assert await golden.store.head(receipt.stream) == before
            with pytest.raises(CommandIdReused):
                await runtime.execute(request._replace(arguments={}))


async def test_new_events_continue_its_versions_and_positions(golden: Golden) -> None:
    streams = golden.expected["streams"]
    last = streams["order/1"]["events"][-1]
    partition = golden.store.keys.partition(StreamId("order", "1"))
    head = await golden.store.feed_head(partition)
    async with Runtime(golden.store, model) as runtime:
        receipt = await runtime.send(Order.deliver, "1")

    assert receipt.version == last["version"] + 1
    assert receipt.position == head + 1
    assert receipt.occurred_at_us >= last["occurred_at_us"]
    assert [p.position for p in await golden.store.pointers(partition, after=0)] == list(
        range(1, head + 2)
    )


async def test_its_snapshots_lead_to_the_state_that_the_events_tell(golden: Golden) -> None:
    assert golden.expected["snapshots"]
    for name, version in golden.expected["snapshots"].items():
        stream = StreamId.parse(name)
        kind, key = model.aggregate(stream.type), golden.store.keys.snapshot(stream)
        assert int(await golden.store.ask("HGET", key, "v")) == version
        with_it = await state_at(golden.store, model.events, kind, stream.id)
        await golden.store.ask("DEL", key)
        assert await state_at(golden.store, model.events, kind, stream.id) == with_it
