"""Where the SQL views of a domain are kept."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import click

from whence.cli.settings import DATA
from whence.projections.projection import Projector, in_redis
from whence.projections.readmodel import ReadModel
from whence.store.durability import RELAXED
from whence.store.eventstore import EventStore, open_store

sql_option = click.option(
    "--sql",
    "sql_url",
    envvar="WHENCE_SQL_URL",
    show_envvar=True,
    metavar="URL",
    help="The database of SQL views, if there are any: sqlite:///views.db or "
    "postgresql://user:password@host/name. Default: views.db in ./whence-data.",
)


@asynccontextmanager
async def opened(
    url: str, projection: Projector, sql_url: str | None
) -> AsyncGenerator[tuple[EventStore, Projector]]:
    """The store at ``url``, and this projection where its view is kept; raises as below too."""
    async with open_store(url, durability=RELAXED) as store:
        if in_redis(projection):
            yield store, projection
            return
        from whence.projections.database import open_database  # noqa: PLC0415  # an extra

        async with open_database(sql_url or views_in(DATA)) as database:
            yield store, projection.at(database)


def views_in(data: Path) -> str:
    """The URL of the SQLite file beside the events in this folder."""
    return f"sqlite:///{data / 'views.db'}"


@asynccontextmanager
async def at_database(model: ReadModel, url: str | None) -> AsyncGenerator[ReadModel]:
    """The read model with its SQL views in the database at ``url``, or else in ./whence-data.

    Nothing is opened where no projection needs it.

    Raises:
        InvalidSetting: there is no such database, or no such folder.
        DatabaseUnavailable: it does not answer.
    """
    if len(model.in_redis) == len(model.projections):
        yield model
        return
    from whence.projections.database import open_database  # noqa: PLC0415  # an extra

    async with open_database(url or views_in(DATA)) as database:
        yield model.at(database)
