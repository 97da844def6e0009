"""The server of a simulation: fakeredis behind the protocol that a real one speaks."""

from collections.abc import Callable, Sequence
from hashlib import sha1
from typing import Any, NamedTuple

import hiredis
from fakeredis import _msgs as messages
from fakeredis._helpers import SimpleError
from redis._parsers.base import BaseParser

from tests.faults.simulation import scripts
from tests.faults.simulation.commands import Commands
from tests.faults.simulation.resp import OK, encoded, refused

_SHEBANG = b"#!lua\n"  # fakeredis does not know it
# The error that redis-py raises for such a text.
_ERROR: Callable[[str], Exception] = BaseParser.parse_error  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
_BLOCKING = frozenset({b"XREAD", b"XREADGROUP"})


class Blocked(NamedTuple):
    """A command that waits for an entry of one of the keys, for so many seconds (0: for ever)."""

    command: list[bytes]
    seconds: float

    @property
    def keys(self) -> Sequence[bytes]:
        named = self.command[self.command.index(b"STREAMS") + 1 :]
        return named[: len(named) // 2]


class Waiting(NamedTuple):
    """Who is told when one of these keys is written."""

    keys: frozenset[bytes]
    look: Callable[[], None]


class Server:
    """Executes commands one after the other.

    Attributes:
        blocked: who waits for a key, by a number of their own.
        down: connections are refused, and nothing is executed.
        loading: every command is answered with the error of a server that has just started.
        writes: how many commands have written anything that lasts: what expires, as a lease, is
            only about who lives.
    """

    def __init__(self) -> None:
        self.blocked: dict[int, Waiting] = {}
        self.down = False
        self.loading = False
        self.writes = 0
        self._commands = Commands()
        self._scripts: dict[bytes, bytes] = {}

    def reader(self) -> hiredis.Reader:
        """Parses what one connection sends."""
        return hiredis.Reader()

    def forget_scripts(self) -> None:
        self._scripts.clear()

    def execute(self, command: list[bytes]) -> bytes | Blocked:
        """The reply to one command, as bytes; or what it waits for."""
        name = command[0].upper()
        if name == b"CLIENT":
            return OK
        if self.loading:
            return refused("LOADING The simulated server is loading the dataset in memory")
        self._commands.begin()
        if name in _BLOCKING and b"BLOCK" in command:
            return self._read(command)
        try:
            reply = self._reply(name, command)
        except SimpleError as error:
            reply = refused(error.value)
        self._wake()
        return reply

    def _reply(self, name: bytes, command: list[bytes]) -> bytes:
        match name:
            case b"EVAL":
                sha = sha1(command[1], usedforsecurity=False).hexdigest().encode()
                self._scripts[sha] = command[1].removeprefix(_SHEBANG)
                return self._script(self._scripts[sha], command)
            case b"EVALSHA":
                script = self._scripts.get(command[1])
                if script is None:
                    raise SimpleError(messages.NO_MATCHING_SCRIPT_MSG)
                return self._script(script, command)
            case _:
                return encoded(self._commands.run(name, command[1:]))

    def _script(self, script: bytes, command: list[bytes]) -> bytes:
        first = 3 + int(command[2])
        return scripts.answer(script, command[3:first], command[first:], self._commands)

    def _read(self, command: list[bytes]) -> bytes | Blocked:
        place = command.index(b"BLOCK")
        asked = command[1:place] + command[place + 2 :]
        try:
            reply = self._commands.run(command[0], asked)
        except SimpleError as error:
            return refused(error.value)
        if not reply:
            return Blocked(command, int(command[place + 1]) / 1000)
        return encoded(reply)

    def _wake(self) -> None:
        """Let those look whose keys were written."""
        written = self._commands.written()
        if written:
            self.writes += self._commands.any_lasts(written)
            for waiting in list(self.blocked.values()):
                if not written.isdisjoint(waiting.keys):
                    waiting.look()

    def ask(self, *command: Any) -> Any:
        """One command of the simulation's own, without a network; errors come back as values."""
        self._commands.begin()
        plain = [each if isinstance(each, bytes) else str(each).encode() for each in command]
        try:
            reply = self._reply(plain[0].upper(), plain)
        except SimpleError as error:
            reply = refused(error.value)
        reader = hiredis.Reader(replyError=_ERROR)
        reader.feed(reply)
        return reader.gets()
