"""``whence import``: a history from elsewhere, appended as events."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import cast

import click
import uvloop

from whence.actors.facts import History, ImportReport, import_history
from whence.actors.model import WriteModel
from whence.cli.progress import endless
from whence.cli.settings import (
    find_domain,
    open_promised,
    server,
    writing_options,
)
from whence.domain import load_object
from whence.store.durability import Durability, Promise
from whence.store.errors import InvalidInput, InvalidSetting, shown

# Conflicts that are listed; the others are counted.
_LISTED = 20

Read = Callable[[Path], object]


@click.command("import")
@click.argument("function_path", metavar="MODULE:FUNCTION")
@click.argument("file", type=click.Path(path_type=Path))
@writing_options
def import_(
    function_path: str,
    file: Path,
    domain_path: str | None,
    url: str | None,
    durability: Durability,
    assert_durability: bool,
) -> None:
    """Append a history from elsewhere as events, with the moments at which they occurred.

    FUNCTION takes the path of FILE and yields a whence.actors.facts.History for each aggregate.
    Importing a file again changes nothing: what is there is recognised.

    For example: whence import examples.orders.history:olist olist_orders.csv.gz
    """
    model = find_domain(domain_path).write_model
    histories = _histories(_function(function_path), function_path, file)
    source = function_path.rpartition(":")[2]
    if not file.is_file():
        raise InvalidSetting(f"there is no file {file}")
    done = ImportReport()

    def on_progress(report: ImportReport) -> None:
        nonlocal done
        done = report
        progress.update(bar, completed=report.imported + report.already_there)

    promise = Promise(durability, assert_durability)
    with server(url, create=True, durability=durability) as found, endless() as progress:
        bar = progress.add_task("imported or already there")
        try:
            uvloop.run(_import(found.url, promise, model, histories, source, on_progress))
        except InvalidInput as error:
            raise InvalidInput(f"{error}\n{_counts(done)}. Mend it and import again") from error
    click.echo(_counts(done))
    _list_conflicts(done)


async def _import(
    url: str,
    promise: Promise,
    model: WriteModel,
    histories: Iterable[History],
    source: str,
    progress: Callable[[ImportReport], None],
) -> None:
    async with open_promised(url, promise) as store:
        await import_history(store, model, histories, source=source, progress=progress)


def _function(path: str) -> Read:
    found = load_object(path)
    if not callable(found):
        raise InvalidSetting(f"{path} is of type {type(found).__name__}, not a function")
    return cast("Read", found)


def _histories(read: Read, path: str, file: Path) -> Iterator[History]:
    try:
        found = read(file)
        if not isinstance(found, Iterable):
            raise InvalidSetting(f"{path} returns {shown(found)}, and should yield histories")
        for history in cast("Iterable[object]", found):
            if not isinstance(history, History):
                raise InvalidSetting(
                    f"{path} yields {shown(history)}, not a whence.actors.facts.History"
                )
            yield history
    except OSError as error:
        raise InvalidInput(f"{file} cannot be read: {error.strerror or error}") from error


def _counts(report: ImportReport) -> str:
    return (
        f"Aggregates imported: {report.imported:,} ({report.events:,} events), "
        f"already there: {report.already_there:,}"
    )


def _list_conflicts(report: ImportReport) -> None:
    """Name what could not be imported, and end with exit code 1 if there is anything."""
    conflicts = report.conflicts
    if not conflicts:
        return
    names = ", ".join(map(str, conflicts[:_LISTED]))
    more = f" and {len(conflicts) - _LISTED:,} more" if len(conflicts) > _LISTED else ""
    raise click.ClickException(
        f"{len(conflicts):,} exist with another past and were left as they are: {names}{more}"
    )
