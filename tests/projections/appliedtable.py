"""The view of applied.py as a table: a row for each event, numbered as they were applied."""

import anyio
from sqlalchemy import Column, Integer, MetaData, String, Table

from tests.projections.applied import Applied, Places
from tests.projections.domain import Delivered, Sent, Weighed, events
from tests.projections.sqldomain import rows
from whence.projections.projection import on
from whence.projections.readmodel import ReadModel
from whence.sql import Sql, SqlProjection
from whence.store.recorded import Recorded

_applied = Table(
    "applied",
    MetaData(),
    Column("number", Integer, primary_key=True),
    Column("part", Integer, nullable=False),
    Column("place", String(200), nullable=False),
)


class AppliedTable(SqlProjection, tables=[_applied]):
    @on(Sent, Weighed, Delivered)
    def any(self, event: Sent | Weighed | Delivered, record: Recorded, sql: Sql) -> None:
        place = f"{record.position} {record.stream}@{record.version}"
        sql.execute(_applied.insert().values(part=record.partition, place=place))


both = ReadModel([Applied, AppliedTable], events)
applied_table = both.projector("applied-table")


async def places_in_table(sql_url: str, partitions: int) -> Places:
    """What each partition has applied so far, as plain SQL says."""
    query = "SELECT part, place FROM applied ORDER BY part, number"
    found: dict[int, list[str]] = {n: [] for n in range(partitions)}
    for part, place in await anyio.to_thread.run_sync(rows, sql_url, query):
        found[part].append(place)
    return found
