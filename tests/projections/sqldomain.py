"""The parcels of the tests as tables, on a SQLite file and on a PostgreSQL of the tests' own."""

from typing import Any, ClassVar

from sqlalchemy import Column, Index, Integer, MetaData, String, Table, create_engine, text
from sqlalchemy.exc import OperationalError

from tests.projections.domain import Delivered, Sent, Weighed, events
from whence.projections.database import parse_url
from whence.projections.projection import Projector, on
from whence.projections.readmodel import ReadModel
from whence.sql import Sql, SqlProjection
from whence.store.recorded import Recorded

_PATIENCE = 2  # seconds, of which a transaction takes some thousandths

metadata = MetaData()
parcels = Table(
    "parcels",
    metadata,
    Column("id", String(100), primary_key=True),
    Column("city", String(100), nullable=False),
    Column("grams", Integer),
    Column("delivered", Integer, nullable=False, server_default="0"),
    Column("seen", Integer, nullable=False, server_default="1"),
    Index("parcels_by_city", "city"),
)
cities = Table(
    "cities",
    metadata,
    Column("city", String(100), primary_key=True),
    Column("parcels", Integer),
    Column("grams", Integer),
)
tallies = Table(
    "tallies",
    metadata,
    Column("id", String(100), primary_key=True),
    Column("seen", Integer, nullable=False),
    Column("chain", Integer, nullable=False),
)


class ParcelTable(SqlProjection, tables=[parcels]):
    """One row for each parcel."""

    @on(Sent)
    def sent(self, event: Sent, record: Recorded, sql: Sql) -> None:
        sql.put(parcels, {"id": record.id, "city": event.city, "grams": event.grams})

    @on(Weighed)
    def weighed(self, event: Weighed, record: Recorded, sql: Sql) -> None:
        sql.update(parcels, {"id": record.id}, {"grams": event.grams})
        sql.add(parcels, {"id": record.id}, {"seen": 1}, start={"city": ""})

    @on(Delivered)
    def delivered(self, event: Delivered, record: Recorded, sql: Sql) -> None:
        sql.update(parcels, {"id": record.id}, {"delivered": 1})


class CityTable(SqlProjection, tables=[cities]):
    """One row for each city, from the parcels of all partitions."""

    @on(Sent)
    def sent(self, event: Sent, record: Recorded, sql: Sql) -> None:
        sql.add(cities, {"city": event.city}, {"parcels": 1, "grams": event.grams})


class TallyTable(SqlProjection, tables=[tallies]):
    """Tells an event that was left out, applied twice or out of order.

    It is made of SQL that is not the same when it is done twice, row by row.
    """

    broken: ClassVar[frozenset[str]] = frozenset()

    @on(Sent, Weighed, Delivered)
    def any(self, event: Sent | Weighed | Delivered, record: Recorded, sql: Sql) -> None:
        if record.id in self.broken:
            raise ArithmeticError(record.id)
        if record.version == 1:
            sql.put(tallies, {"id": record.id, "seen": 0, "chain": 0})
        sql.execute(
            tallies.update()
            .where(tallies.c.id == record.id)
            .values(seen=tallies.c.seen + 1, chain=tallies.c.chain * 3 + record.version)
        )


model = ReadModel([ParcelTable, CityTable], events)
parcel_table = model.projector("parcel-table")
city_table = model.projector("city-table")


def only(*classes: type[Projector]) -> ReadModel:
    return ReadModel(classes, events)


def rows(url: str, query: str) -> list[tuple[Any, ...]]:
    """What plain SQL says, on a connection of its own, as any other program would ask."""
    engine = create_engine(parse_url(url))
    try:
        with engine.connect() as connection:
            return [tuple(row) for row in connection.execute(text(query))]
    finally:
        engine.dispose()


def is_held(url: str) -> bool:
    """Whether somebody has begun to write to a SQLite file and does not come to the end of it."""
    if not url.startswith("sqlite"):
        return False
    engine = create_engine(parse_url(url), connect_args={"timeout": _PATIENCE})
    try:
        with engine.connect() as connection:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
    except OperationalError:
        return True
    finally:
        engine.dispose()
    return False
