"""What pages show as code runs as it stands there, with the names that they take for granted."""

import importlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import anyio
import pytest
from msgspec import Struct

from examples.orders.domain import (
    Item,
    Order,
    OrderApproved,
    OrderList,
    OrderPlaced,
    OrderShipped,
    domain,
)
from tests.docs.pages import PAGES, run, snippets
from tests.projections.domain import working
from tests.projections.sqldomain import rows
from whence import Aggregate, Domain, Event, Rejected, Runtime, command, open_store
from whence.actors.context import request_context
from whence.actors.middleware import Next
from whence.actors.receipt import Receipt
from whence.actors.request import CommandRequest
from whence.projections.freshness import Freshness, LogPosition
from whence.projections.status import wait_until_caught_up
from whence.projections.worker import Worker
from whence.reactions import Then
from whence.sql import open_database
from whence.store.eventstore import EventStore
from whence.store.ids import StreamId
from whence.store.metadata import Metadata
from whence.testing.reacting import reacting

ITEMS = (Item("book", 2, 1_500),)


@pytest.fixture
async def store(namespace: str) -> AsyncIterator[EventStore]:
    """One with as many partitions as any has unless told otherwise."""
    async with open_store(f"memory://{namespace}") as store:
        yield store


@pytest.fixture
async def runtime(store: EventStore) -> AsyncIterator[Runtime]:
    """Of the example's domain, with an order that was placed."""
    async with Runtime(store, domain.write_model) as runtime:
        await runtime.send(Order.place, "42", user_id="ann", items=ITEMS)
        yield runtime


@pytest.fixture
def names(store: EventStore, runtime: Runtime) -> dict[str, Any]:
    """All that the example's domain has and uses, a store and a runtime."""
    example = vars(importlib.import_module("examples.orders.domain"))
    return {**example, "store": store, "runtime": runtime, "open_store": open_store}


async def test_middleware_refuses_who_is_no_clerk(store: EventStore, names: dict[str, Any]) -> None:
    names |= {"CommandRequest": CommandRequest, "Next": Next, "Receipt": Receipt}
    names |= {"Runtime": Runtime, "CLERKS": {"ann"}}
    (snippet,) = snippets("docs/actors.md")
    await run(snippet, names)

    async with Runtime(store, domain.write_model, middleware=[names["authorise"]]) as runtime:
        with request_context(Metadata(who="bob")), pytest.raises(Rejected, match="only clerks"):
            await runtime.send(Order.approve, "42")
        with request_context(Metadata(who="ann")):
            assert (await runtime.send(Order.approve, "42")).version == 2


async def test_the_log_is_read_in_every_way(
    store: EventStore,
    runtime: Runtime,
    names: dict[str, Any],
    namespace: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    await runtime.send(Order.approve, "42")
    await runtime.send(Order.ship, "42", carrier="DHL")
    names |= {"StreamId": StreamId, "model": domain.write_model, "new_year": datetime.now(UTC)}
    names["kind"] = domain.write_model.aggregate("order")
    for snippet in snippets("docs/reading.md"):
        await run(snippet.replace("redis://localhost:6379/0", f"memory://{namespace}-2"), names)
        names["store"] = store  # the first one opens another

    number = store.keys.partition(StreamId("order", "42"))
    assert names["positions"][number] == 3
    assert names["after"][number] == 3
    assert names["event"] == OrderShipped("DHL")
    assert capsys.readouterr().out == "42 3 shipped\n"
    assert names["Order"] is not Order  # with another state_version


class Reserved(Event):
    order: str


class Warehouse(Aggregate[Reserved]):
    reserved: tuple[str, ...] = ()

    @command
    def reserve(self, order: str) -> Reserved:
        return Reserved(order)

    def apply(self, event: Reserved) -> Self:
        return self


class Mailer:
    def __init__(self) -> None:
        self.sent: list[str] = []

    async def send(self, order: str, *, idempotency_key: str) -> None:
        assert idempotency_key
        self.sent.append(order)


async def test_a_reaction_asks_for_what_it_says(names: dict[str, Any]) -> None:
    mailer = Mailer()
    names |= {"Warehouse": Warehouse, "mailer": mailer}
    (snippet,) = snippets("docs/reactions.md")
    await run(snippet, names)

    payments = reacting(names["Payments"], names["domain"])
    payments.to(OrderPlaced("ann", ITEMS), of="order/42").then(
        lambda then: then.after(
            "payment", names["timedelta"](minutes=30), Order.cancel, "42", "not paid", "whence"
        )
    )
    payments.to(OrderShipped("DHL"), of="order/42").then_nothing()
    assert mailer.sent == ["42"]

    def reserved(then: Then) -> None:
        then.cancel_timer("payment")
        then.send(Warehouse.reserve, "main", order="42")

    payments.to(OrderApproved(), of="order/42").then(reserved)


class LedgerRow(Struct, frozen=True):
    total: int = 0


async def test_a_reader_waits_for_what_was_written(
    store: EventStore, names: dict[str, Any]
) -> None:
    names |= {"LedgerRow": LedgerRow, "Freshness": Freshness, "LogPosition": LogPosition}
    names["orders"] = domain.read_model.projection("order-list")
    async with working(store, domain.read_model):
        for snippet in snippets("docs/projections.md"):
            await run(snippet, names)

    assert names["Ledger"].on_failure == "halt"
    assert names["OrderList"].version == 2
    assert names["receipt"].version == 2


async def test_a_sql_view_has_what_its_handlers_asked_for(
    store: EventStore, runtime: Runtime, names: dict[str, Any], tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path / 'views.db'}"
    names |= {"open_database": open_database, "Worker": Worker}
    definition, program = snippets("docs/sql.md")
    await run(definition, names)
    names["domain"] = Domain(aggregates=[Order], projections=[names["OrderTables"]])
    await runtime.send(Order.cancel, "42", reason="late", cancelled_by="ann")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run, program.replace("postgresql://...", url), names)
        with anyio.fail_after(60):
            while rows_of(url) != [("42", "ann", "cancelled", 3_000)]:
                await anyio.sleep(0.02)
        tasks.cancel_scope.cancel()
    assert rows(url, "SELECT orders, total FROM days") == [(1, 3_000)]


def rows_of(url: str) -> list[Any]:
    """The orders in the view; none as long as it has no tables."""
    (known,) = rows(url, "SELECT count(*) FROM sqlite_master WHERE name = 'orders'")
    return rows(url, "SELECT id, user_id, status, total FROM orders") if known[0] else []


async def test_what_is_traced_works_as_before(store: EventStore, names: dict[str, Any]) -> None:
    names |= {"Runtime": Runtime, "domain": Domain(aggregates=[Order], projections=[OrderList])}
    plain = names.pop("runtime")
    (snippet,) = snippets("docs/observability.md")
    await run(snippet, names)

    assert names["runtime"] is not plain
    async with names["runtime"] as runtime, working(store, names["domain"].read_model):
        assert (await runtime.send(Order.approve, "42")).version == 2
        await wait_until_caught_up(store, names["domain"].read_model.projection("order-list"))


def test_no_page_shows_code_that_nobody_runs() -> None:
    here = {"actors", "reading", "reactions", "projections", "sql", "observability"}
    elsewhere = {"evolution", "testing"}
    shown = {page for page in PAGES if snippets(page)}
    assert shown == {"README.md"} | {f"docs/{name}.md" for name in here | elsewhere}
