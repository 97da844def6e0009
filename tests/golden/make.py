"""Writes a golden data directory: ``python -m tests.golden.make v0.1``, once for each release.

What it writes is never written again: it shows that what a release has stored, later ones read.
"""

import asyncio
import shutil
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import msgspec

from examples.orders.domain import (
    Item,
    Order,
    OrderApproved,
    OrderDelivered,
    OrderPlaced,
    OrderShipped,
)
from tests.evolved import PAST, Bought2, Ticket, plant, ticket
from tests.golden.contents import contents, model
from tests.golden.domain import domain
from whence import Runtime, open_store
from whence.actors.facts import Fact, History, import_history
from whence.actors.runtime import CommandRequest
from whence.projections.status import wait_until_caught_up
from whence.projections.worker import Worker
from whence.store.embedded import EmbeddedServer
from whence.store.eventstore import EventStore
from whence.store.metadata import Metadata

HERE = Path(__file__).parent
# Command ids are remembered for a day; these are there to be recognised for as long as the project
# lives.
REMEMBER_FOR = 100 * 365.25 * 86_400
# A load asks for a snapshot only after the first 100 events.
SNAPSHOT_EVERY = 110
NOON = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
BOOK = Item("book", 2, 1_500)
LAMP = Item("lamp-ü", 1, 4_999)
ANN = Metadata(who="ann", reason="asked by phone", correlation_id="call-17", notes={"shop": "Riga"})


async def write(store: EventStore) -> list[dict[str, Any]]:
    """Events of every kind, old and new, with all that a release keeps beside them.

    Returns the commands that are remembered, and what they were answered.
    """
    await import_history(store, model, [_history()], source="golden")
    await plant(store, ticket("old"), PAST)
    await plant(store, ticket("older"), [Bought2(cents=450)], command="caller.id~1")
    async with Runtime(
        store, model, remember_for=REMEMBER_FOR, snapshot_every=SNAPSHOT_EVERY
    ) as runtime:
        await runtime.send(Order.place, "1", "ann", (BOOK, LAMP))
        await runtime.send(Order.approve, "1")
        await runtime.send(Order.place, "2", "bob", (BOOK,))
        for number in range(SNAPSHOT_EVERY + 5):
            await runtime.send(Ticket.take, "many", f"{number}")
        answers = [await _answered(runtime, request) for request in _requests()]
        await _compact(store)
        # From here on the events are in the log's second file, as commands.
        await runtime.send(Order.ship, "1", "DHL")
        await runtime.send(Order.cancel, "2", "changed my mind", "bob")
        await runtime.send(Ticket.take, "many", "last")
    await _project(store)
    return answers


def _history() -> History:
    facts = [
        Fact(OrderPlaced("eve", (LAMP,)), NOON, Metadata(notes={"source": "golden"})),
        Fact(OrderApproved(), NOON),
        Fact(OrderShipped("DPD"), NOON + timedelta(days=1, microseconds=1)),
        Fact(OrderDelivered(), NOON + timedelta(days=3)),
    ]
    return History(Order, "imported", facts)


def _requests() -> list[CommandRequest]:
    order, seat = model.aggregate("order"), model.aggregate("ticket")
    placing = {"user_id": "ann", "items": (BOOK,)}
    return [
        CommandRequest(order, order.command("place"), "3", placing, None, "shop-3~a", ANN),
        CommandRequest(seat, seat.command("take"), "1", {"seat": "4B"}, None, "10042"),
    ]


async def _answered(runtime: Runtime, request: CommandRequest) -> dict[str, Any]:
    receipt = await runtime.execute(request)
    return {
        "aggregate": request.kind.name,
        "command": request.command.name,
        "id": request.id,
        "arguments": msgspec.to_builtins(request.arguments),
        "command_id": request.command_id,
        "answer": [receipt.version, receipt.position, receipt.occurred_at_us],
    }


async def _compact(store: EventStore) -> None:
    """Let the server write what it has so far as one binary file."""
    await store.ask("BGREWRITEAOF")
    with anyio.fail_after(30):
        while not _is_compact(await store.ask("INFO", "persistence")):
            await asyncio.sleep(0.05)


def _is_compact(info: bytes) -> bool:
    return b"aof_rewrite_in_progress:0" in info and b"aof_rewrite_scheduled:0" in info


async def _project(store: EventStore) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(Worker(store, domain.read_model, name="golden").run)
        for projection in domain.read_model.projections.values():
            await wait_until_caught_up(store, projection, timeout_s=30)
        tasks.cancel_scope.cancel()


async def _make(data: Path) -> dict[str, Any]:
    with EmbeddedServer.start(data) as server:
        async with open_store(server.url, partitions=8) as store:
            remembered = await write(store)
            snapshot = await store.ask("HGET", store.keys.snapshot(ticket("many")), "v")
            return {
                **await contents(store),
                "remembered": remembered,
                "snapshots": {"ticket/many": int(snapshot)},
            }


def main() -> None:
    target = HERE / sys.argv[1]
    assert not target.exists(), f"{target} is there, and stays as it is"
    with tempfile.TemporaryDirectory(prefix="whence-golden-") as folder:
        data = Path(folder) / "data"
        expected = asyncio.run(_make(data))
        # Without the lock file, the socket and the server's own log, which belong to one machine.
        shutil.copytree(data / "appendonlydir", target / "data" / "appendonlydir")
    text = msgspec.json.format(msgspec.json.encode(expected), indent=1)
    (target / "expected.json").write_bytes(text + b"\n")


if __name__ == "__main__":
    main()
