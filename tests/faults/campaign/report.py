"""docs/reliability.md: what a campaign has done and seen."""

import platform
import re
import subprocess
from collections.abc import Sequence
from importlib import metadata

from tests.faults.campaign.fault import Ran
from tests.store.plain_server import binary

_HEAD = """\
# What Whence survives, and what it was tried with

This page is written by `make faults`; nothing in it is typed by hand. Each fault says what was
done, how often, what Whence promises, what it does not promise, and what was seen. A broken promise
would stand here with its evidence, and `make faults` would end with an error. The section "Without
Whence" runs the same faults against what a team would otherwise write.

The invariants of the checker (`tests/faults/checker.py`): acknowledged events are present once, at
their version and position; versions and positions are contiguous; a command's events stand
together, complete, byte for byte; a refused command has left nothing; nothing is there that nobody
sent; what ended before something else began comes before it; every read is a prefix of the final
log.
"""


def report(ran: Sequence[Ran], *, head: str, load: str, pictures: Sequence[str]) -> str:
    """The page as Markdown; ``head`` says how much was done, and with which seed."""
    ours = [one for one in ran if not one.fault.naive]
    naive = [one for one in ran if one.fault.naive]
    return "\n".join(
        [
            _HEAD,
            head,
            "",
            _versions(load),
            "",
            "| fault | times | took | seen |",
            "|---|---|---|---|",
            *map(_row, ours),
            "",
            *(line for one in ours for line in _section(one)),
            "## Without Whence",
            "",
            "| variant | acknowledged | harmed | seen |",
            "|---|---|---|---|",
            *map(_naive_row, naive),
            "",
            *(f"{_short(one)}: {one.fault.done}\n" for one in naive),
            *(["## What callers and readers notice", "", *pictures, ""] if pictures else []),
        ]
    )


def _short(one: Ran) -> str:
    return one.fault.name.removeprefix("naive ")


def _row(one: Ran) -> str:
    if one.seen.skipped:
        return f"| {one.fault.name} | skipped | | {one.seen.skipped} |"
    return f"| {one.fault.name} | {one.seen.times:,} | {one.seconds:.0f} s | {_line(one)} |"


def _naive_row(one: Ran) -> str:
    return f"| {_short(one)} | {one.seen.times:,} | {one.seen.harmed:,} | {_line(one)} |"


def _line(one: Ran) -> str:
    return one.seen.what.replace("\n", "; ")


def _section(one: Ran) -> list[str]:
    lines = [
        f"## {one.fault.name}",
        "",
        f"Done: {one.fault.done}",
        "",
        f"Promised: {one.fault.promised}",
        "",
        f"Not promised: {one.fault.not_promised}",
        "",
    ]
    for evidence in one.seen.broken:
        lines += ["```", evidence, "```", ""]
    return lines


def _versions(load: str) -> str:
    packages = ", ".join(
        f"{name} {metadata.version(name)}" for name in ("redis", "hiredis", "fakeredis", "msgspec")
    )
    return (
        f"Python {platform.python_version()}, {packages}, {_server_version(str(binary()))}, "
        f"{_server_version('redis-server')}; {platform.system()} {platform.machine()}. {load}"
    )


def _server_version(program: str) -> str:
    try:
        said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    except OSError:
        return "no Redis"
    found = re.search(r"^(\w+) server v=(\S+)", said.stdout)
    return f"{found[1]} {found[2]}" if found else said.stdout.split(" sha", maxsplit=1)[0]
