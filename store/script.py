"""Lua scripts: one operation, one file, sent by its hash."""

from collections.abc import Sequence
from functools import cache
from hashlib import sha1
from pathlib import Path
from typing import NamedTuple

from whence.store.wire import Arg, Command, Reply, ServerError, Wire, refusal

_SHEBANG = "#!lua\n"


class Script(NamedTuple):
    """A script's text and the hash by which a server that has seen it knows it."""

    name: str
    source: str
    sha: str

    @classmethod
    def read(cls, path: Path) -> "Script":
        return cls.of(path.stem, path.read_text(encoding="utf-8"))

    @classmethod
    def of(cls, name: str, source: str) -> "Script":
        return cls(name, source, sha1(source.encode(), usedforsecurity=False).hexdigest())

    def without_shebang(self) -> "Script":
        """The same script for an interpreter that does not know ``#!lua`` (fakeredis)."""
        return Script.of(self.name, self.source.removeprefix(_SHEBANG))


class ScriptCall(NamedTuple):
    script: Script
    keys: Sequence[Arg]
    args: Sequence[Arg]

    def __str__(self) -> str:
        return f"{self.script.name}.lua on {self.keys[0]!s}"


@cache
def store_script(name: str) -> Script:
    return Script.read(Path(__file__).parent / "lua" / f"{name}.lua")


async def run_scripts(
    wire: Wire, calls: Sequence[ScriptCall], *, then: Sequence[Command] = ()
) -> list[Reply]:
    """Send independent script calls in one write; errors come back as values, in their place.

    EVALSHA first; what the server does not know (a restart, SCRIPT FLUSH) goes again as EVAL. A
    call that answered NOSCRIPT has done nothing, so that is not a second execution.

    ``then``: commands that follow the calls in the same write, and do so again when a call goes
    again; their replies come last.
    """
    replies = await wire.call([*(evalsha(call, wire) for call in calls), *then])
    unknown = [i for i, reply in enumerate(replies) if _is_noscript(reply)]
    if unknown:
        again = await wire.call([*(_eval(calls[i], wire) for i in unknown), *then])
        places = [*unknown, *range(len(calls), len(replies))]
        for i, reply in zip(places, again, strict=True):
            replies[i] = reply
    return replies


async def answers_of(
    wire: Wire, where: str, calls: Sequence[ScriptCall], *, then: Sequence[Command] = ()
) -> list[Reply]:
    """``run_scripts``, but the first error reply is raised.

    Args:
        where: the server, as an error message may name it.

    Raises:
        ServerRefused: the server said no.
        StoreUnavailable: it said that it cannot answer just now.
        Others as ``wire.call``.
    """
    replies = await run_scripts(wire, calls, then=then) if calls or then else []
    for place, reply in enumerate(replies):
        if isinstance(reply, ServerError):
            asked = [*map(str, calls), *(" ".join(map(str, command[:2])) for command in then)]
            raise refusal(where, asked[place], reply)
    return replies


def _is_noscript(reply: Reply) -> bool:
    return isinstance(reply, Exception) and "NOSCRIPT" in str(reply)


def _dialect(script: Script, wire: Wire) -> Script:
    return script if wire.knows_shebang else script.without_shebang()


def evalsha(call: ScriptCall, wire: Wire) -> Command:
    """The command that runs a script which the server knows; it answers NOSCRIPT if it does not."""
    script = _dialect(call.script, wire)
    return ("EVALSHA", script.sha, len(call.keys), *call.keys, *call.args)


def _eval(call: ScriptCall, wire: Wire) -> Command:
    script = _dialect(call.script, wire)
    return ("EVAL", script.source, len(call.keys), *call.keys, *call.args)
