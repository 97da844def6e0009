"""A view in SQL tables made anew from the page of the projections."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio
from sqlalchemy import Column, MetaData, String, Table, create_engine, text

from examples.orders.domain import Order, OrderPlaced
from tests.projections.domain import working
from tests.projections.sqldomain import rows
from tests.web.client import Client
from tests.web.explorer.html import page as page_of
from whence import Domain, Recorded, Runtime, on
from whence.projections.generations import generations
from whence.projections.status import wait_until_caught_up
from whence.sql import Sql, SqlProjection, open_database
from whence.store.eventstore import EventStore
from whence.web.app import create_app

PAGE = "/explorer/projections"
ORDERS = [str(number) for number in range(30)]
SPOILT = "SELECT count(*) FROM placed_orders WHERE user_id = 'bob'"

placed = Table(
    "placed_orders",
    MetaData(),
    Column("id", String(100), primary_key=True),
    Column("user_id", String(100), nullable=False),
)


class PlacedTable(SqlProjection, tables=[placed]):
    """Who has placed which order."""

    @on(OrderPlaced)
    def placed(self, event: OrderPlaced, record: Recorded, sql: Sql) -> None:
        sql.put(placed, {"id": record.id, "user_id": event.user_id})


domain = Domain(aggregates=[Order], projections=[PlacedTable])


def spoil(url: str) -> None:
    """Let generation 1 say of an order what no event has said."""
    engine = create_engine(url)
    try:
        with engine.begin() as connection:
            connection.execute(text("UPDATE placed_orders__1 SET user_id = 'bob' WHERE id = '7'"))
    finally:
        engine.dispose()


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    with anyio.fail_after(40):
        while not await holds():
            await anyio.sleep(0.05)


async def test_its_tables_are_built_beside_and_readers_see_them_after_the_switch(
    store: EventStore, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path / 'views.db'}"
    async with (
        open_database(url) as database,
        Runtime(store, domain.write_model) as runtime,
        Client.of(create_app(domain, store, runtime)) as client,
    ):
        view = domain.read_model.at(database).projector("placed-table")

        async def says(words: str) -> bool:
            return words in (await page_of(client, PAGE)).text

        async def reads(spoilt: int) -> bool:
            return rows(url, SPOILT) == [(spoilt,)]

        async def is_live(number: int) -> bool:
            return (await generations(store, view)).live == number

        async def ask(action: str, generation: int, **more: str) -> None:
            form = {"generation": str(generation), **more}
            response = await client.post(f"{PAGE}/placed-table/{action}", data=form)
            assert response.status_code == 303, response.text

        await client.placed(*ORDERS)
        async with working(store, domain.read_model.at(database)):
            await wait_until_caught_up(store, view)
            spoil(url)
            await ask("rebuild", 1, then="wait")
            await until(lambda: says("30 of 30 events"))
            assert await says("Readers see it when somebody says so")
            assert await is_live(1)
            assert await reads(1)

            await ask("switch", 2)
            await until(lambda: is_live(2))
            await until(lambda: says("Go back to generation 1"))
            await until(lambda: reads(0))

            await ask("rollback", 1)
            await until(lambda: is_live(1))
            await until(lambda: reads(1))
