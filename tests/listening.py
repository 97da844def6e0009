"""What the program sends to a script: the header says what, and it may arrive once more."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from whence.store.eventstore import EventStore
from whence.store.script import Script
from whence.store.wire import Arg, Command, Reply, Wire

# Keys and arguments.
Heard = tuple[list[Arg], list[Arg]]


def scripts_in(folder: Path) -> dict[str, Path]:
    """The scripts of a folder by name."""
    return {path.stem: path for path in folder.glob("*.lua")}


class Listening:
    """A wire that remembers the script calls which go through it, by the name of the script."""

    def __init__(self, store: EventStore, scripts: Mapping[str, Path]) -> None:
        self._wire = store.address.wire()
        self.knows_shebang = self._wire.knows_shebang
        self.end = self._wire.close
        self.each = self._wire.each
        self.heard: dict[str, Heard] = {}
        self._names: dict[str, str] = {}
        for name, path in scripts.items():
            script = Script.read(path)
            for known in (script, script.without_shebang()):
                self._names |= {known.sha: name, known.source: name}

    async def close(self) -> None:
        """Others go on with it."""

    async def call(self, commands: Sequence[Command]) -> list[Reply]:
        for name, *words in commands:
            if name in {"EVALSHA", "EVAL"} and str(words[0]) in self._names:
                end = 2 + int(words[1])
                self.heard[self._names[str(words[0])]] = (words[2:end], words[end:])
        return await self._wire.call(commands)


class Echo:
    """A wire that remembers all that is written to a checkpoint through it."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self.knows_shebang = wire.knows_shebang
        self.each = wire.each
        self.close = wire.close
        self._heard: list[Command] = []

    async def call(self, commands: Sequence[Command]) -> list[Reply]:
        self._heard += [c for c in commands if c[0] == "EVALSHA" and ":cp:" in str(c[3])]
        return await self._wire.call(commands)

    async def again(self) -> list[Reply]:
        """What the server says to all of it, in the order in which it was sent."""
        return await self._wire.call(self._heard)


def named(script: Path, part: str) -> list[str]:
    """The names after KEYS: or ARGV: that stand for one value each."""
    header = re.sub(r"\n--", "\n", script.read_text(encoding="utf-8"))
    lines = header.partition(f" {part}:")[2].partition("\n Answers")[0].splitlines()
    if part == "KEYS":
        lines = lines[:1]
    names: list[str] = []
    for line in lines:
        words = re.split(r"\s{2,}", line.strip())[0]
        fixed, varies, _ = words.partition("then ")
        names += [name for name in fixed.split(", ") if name]
        if varies:
            break
    return names
