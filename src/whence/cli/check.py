"""``whence check``: whether all that was ever stored can be read, and the rules of the design."""

import sys
from pathlib import Path

import click

from whence.cli import text
from whence.cli.annotations import as_github, as_text
from whence.cli.settings import find_domain
from whence.project import configured
from whence.store.designrules import check_design
from whence.store.errors import InvalidDomain
from whence.store.finding import Finding
from whence.store.lock import compare, read_lock, updated, write_lock
from whence.store.registry import EventRegistry

LOCK = "events.lock.json"


@click.command()
@click.argument("domain_path", metavar="[MODULE:DOMAIN]", envvar="WHENCE_DOMAIN", required=False)
@click.option("--update", is_flag=True, help="Record new events and versions in the lock.")
@click.option(
    "--lock",
    "lock_path",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help=f"The record of what may be stored. Default: [tool.whence] lock in pyproject.toml, or "
    f"./{LOCK}.",
)
@click.option(
    "--annotations",
    type=click.Choice(["github"]),
    help="Print what is found so that GitHub shows it beside the lines.",
)
def check(
    domain_path: str | None, update: bool, lock_path: Path | None, annotations: str | None
) -> None:
    """Check that every event that may ever have been stored can still be read, as it was meant.

    What may be stored stands in events.lock.json, which is committed: a change that it does not
    allow needs a new schema version and an upcaster. Also checks the rules of the design.
    Needs no server. Exits with 1 if there is an error.

    For example: whence check examples.orders:domain --update
    """
    file = lock_path or Path(configured("lock", "FILE") or LOCK)
    summary = ""
    try:
        registry = find_domain(domain_path).write_model.events
    except InvalidDomain as error:
        findings = [Finding("error", str(error))]
    else:
        findings, recorded = _findings(registry, file, update=update)
        count = len(registry.types)
        summary = f"{count} {'event' if count == 1 else 'events'}, {recorded} {file}"
    shape = as_github if annotations == "github" else as_text
    for finding in findings:
        text.say(shape(finding))
    if any(finding.severity == "error" for finding in findings):
        sys.exit(1)
    text.say(summary)


def _findings(registry: EventRegistry, file: Path, *, update: bool) -> tuple[list[Finding], str]:
    """All that is wrong, and how the events stand to the lock if nothing is."""
    lock = read_lock(file)
    broken, unrecorded = compare(lock, registry, file)
    findings = [*check_design(registry.types.values()), *dict.fromkeys(broken)]
    if not update:
        return [*findings, *dict.fromkeys(unrecorded)], "as recorded in"
    if not broken:
        write_lock(file, updated(lock, registry))
    return findings, "recorded in"
