"""docs/reliability.md: what a campaign has done and seen."""

import platform
import re
import subprocess
from collections.abc import Sequence
from importlib import metadata
from typing import NamedTuple

from tests.faults.campaign.fault import Fault, Seen
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


class Ran(NamedTuple):
    """A fault of this campaign; ``seconds`` is how long it took."""

    fault: Fault
    seen: Seen
    seconds: float


def report(
    ran: Sequence[Ran], *, seed: int, part: float, left: int, load: str, pictures: Sequence[str]
) -> str:
    """The page as Markdown; ``left`` is how many faults have not been run."""
    ours = [one for one in ran if not one.fault.name.startswith("naive")]
    naive = [one for one in ran if one.fault.name.startswith("naive")]
    broken = sum(len(one.seen.broken) for one in ran)
    seconds = sum(one.seconds for one in ran)
    return "\n".join(
        [
            _HEAD,
            f"Seed {seed}, {len(ran)} faults in {seconds / 60:.0f} minutes of work, scale "
            f"{part:g} of what `make faults` does by default. Broken promises: {broken}."
            + (f" The campaign was stopped with {left} faults still to come." if left else ""),
            "",
            _versions(load),
            "",
            "| fault | times | seen |",
            "|---|---|---|",
            *map(_row, ours),
            "",
            *(line for one in ours for line in _section(one)),
            "## Without Whence",
            "",
            "| variant | acknowledged | seen |",
            "|---|---|---|",
            *map(_row, naive),
            "",
            *(f"{one.fault.name.removeprefix('naive ')}: {one.fault.done}\n" for one in naive),
            *(["## What callers and readers notice", "", *pictures, ""] if pictures else []),
        ]
    )


def _row(one: Ran) -> str:
    name = one.fault.name.removeprefix("naive ")
    if one.seen.skipped:
        return f"| {name} | skipped | {one.seen.skipped} |"
    what = one.seen.what.replace("\n", "; ")
    return f"| {name} | {one.seen.times:,} | {what} |"


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
