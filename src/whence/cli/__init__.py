"""The command line. Each command lives in a module of its own, which is imported when it is used:
help and a mistyped name answer at once.
"""

from importlib.metadata import version

import click

from whence.cli.group import Entry, Group

COMMANDS = {
    "dev": Entry("whence.cli.dev:dev", "Start everything on this machine: server, web and worker."),
    "web": Entry("whence.cli.web:web", "Serve the domain over HTTP."),
    "worker": Entry("whence.cli.worker:worker", "Keep the projections up to date, and react."),
    "show": Entry("whence.cli.show:show", "Show an aggregate, now or at any point of its past."),
    "why": Entry("whence.cli.why:why", "Name the events that made an aggregate what it is."),
    "replay": Entry(
        "whence.cli.replay:replay", "Print the states of all aggregates of a kind, as JSON lines."
    ),
    "projections": Entry(
        "whence.cli.projections:projections", "Show how far the projections are, or rebuild one."
    ),
    "reactions": Entry(
        "whence.cli.reactions:reactions", "Show how far the reactions are, and their timers."
    ),
    "doctor": Entry(
        "whence.cli.doctor:doctor", "Examine the server: what could lose events there?"
    ),
    "check": Entry(
        "whence.cli.check:check", "Check the events: can all that was ever stored be read?"
    ),
    "keys": Entry("whence.cli.keys:keys", "Make and list the API keys of the HTTP interface."),
    "import": Entry("whence.cli.importing:import_", "Append a history from elsewhere as events."),
}

HELP = """Event sourcing on Redis and Valkey: every change kept, every state rebuilt, every field
explained.

Begin with "whence dev": it needs nothing but a domain. The other commands find the domain in
WHENCE_DOMAIN, or in pyproject.toml under [tool.whence], and the server in WHENCE_URL. Without
WHENCE_URL they use the server of "whence dev" in this folder, ./whence-data, or start one there.
"""


@click.group(cls=Group, entries=COMMANDS, help=HELP)
@click.version_option(version("whence"), prog_name="whence", message="%(prog)s %(version)s")
def main() -> None:
    """The entry point of the command ``whence``."""
