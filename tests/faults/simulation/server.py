"""The server of a simulation: fakeredis behind the protocol that a real one speaks."""

from collections.abc import Callable, Sequence
from hashlib import sha1
from typing import Any, NamedTuple, cast

import fakeredis
import hiredis
from redis.exceptions import NoScriptError, ResponseError

_SHEBANG = b"#!lua\n"
_WRITES = frozenset({b"EVAL", b"EVALSHA", b"XADD"})
_BLOCKING = frozenset({b"XREAD", b"XREADGROUP"})


class Blocked(NamedTuple):
    """A command that waits for an entry, for so many seconds (0: for ever)."""

    command: list[bytes]
    seconds: float


class _Compiled:
    """fakeredis's Lua runtime, which reads each script once instead of each time that it is run.

    It does not tidy up after each of them either: a simulation is over soon. Half of what a script
    takes is saved by that.
    """

    def __init__(self, runtime: Any) -> None:
        self._runtime = runtime
        self._compiled: dict[bytes, Callable[[], Any]] = {}

    def execute(self, script: bytes | str) -> Any:
        if isinstance(script, str):  # no script of ours: fakeredis asks for a collection of garbage
            return None
        found = self._compiled.get(script)
        if found is None:
            found = self._compiled[script] = self._runtime.compile(script)
        return found()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._runtime, name)


class Server:
    """Executes commands one after the other; ``blocked`` is told of each one that writes.

    Attributes:
        down: connections are refused, and nothing is executed.
        loading: every command is answered with the error of a server that has just started.
        data: the databases, to look at and to change behind the back of everybody.
    """

    def __init__(self) -> None:
        self.data = fakeredis.FakeServer()
        client = fakeredis.FakeRedis(server=self.data, protocol=2)
        # Without the retries and the statistics of redis-py's own execute_command.
        self._connection: Any = client.connection_pool.get_connection()  # pyright: ignore[reportUnknownMemberType]
        socket: Any = self._connection._sock
        self._socket = socket
        shared: Any = self.data
        shared._lua_runtime = _Compiled(socket._get_server_runtime(shared))
        self.blocked: dict[int, Callable[[], None]] = {}
        self.down = False
        self.loading = False
        self.calls = 0
        self._scripts: dict[bytes, bytes] = {}

    def reader(self) -> hiredis.Reader:
        """Parses what one connection sends."""
        return hiredis.Reader()

    def forget_scripts(self) -> None:
        self._scripts.clear()

    def execute(self, command: list[bytes]) -> bytes | Blocked:
        """The reply to one command, as bytes; or what it waits for."""
        self.calls += 1
        name = command[0].upper()
        if name == b"CLIENT":
            return b"+OK\r\n"
        if self.loading:
            return b"-LOADING The simulated server is loading the dataset in memory\r\n"
        seconds = None
        if name in _BLOCKING and b"BLOCK" in command:
            place = command.index(b"BLOCK")
            seconds = int(command[place + 1]) / 1000
            asked = command[:place] + command[place + 2 :]
        else:
            asked = self._in_dialect(name, command)
        reply = self.ask(*asked)
        if seconds is not None and reply in (None, []):
            return Blocked(command, seconds)
        if name in _WRITES:
            for look in list(self.blocked.values()):
                look()
        return encoded(reply)

    def _in_dialect(self, name: bytes, command: list[bytes]) -> list[bytes]:
        """fakeredis does not know ``#!lua``."""
        if name == b"EVAL":
            source = command[1]
            plain = source.removeprefix(_SHEBANG)
            self._scripts[sha1(source, usedforsecurity=False).hexdigest().encode()] = plain
            return [b"EVAL", plain, *command[2:]]
        if name == b"EVALSHA":
            plain = self._scripts.get(command[1], b"")
            return [b"EVAL", plain, *command[2:]] if plain else [b"EVALSHA", *command[1:]]
        return command

    def ask(self, *command: Any) -> Any:
        """One command of the simulation's own, without a network; errors come back as values."""
        # Past the bytes of RESP, which the network has parsed already.
        self._socket._process_command(list(map(_bytes, command)))
        try:
            return self._connection.read_response()
        except ResponseError as error:
            return error


def _bytes(argument: Any) -> bytes:
    return argument if isinstance(argument, bytes) else str(argument).encode()


def encoded(reply: Any) -> bytes:
    """A reply as RESP 2."""
    if reply is None:
        return b"*-1\r\n"
    if isinstance(reply, (list, tuple)):
        items = cast("Sequence[Any]", reply)
        return b"*%d\r\n%b" % (len(items), b"".join(map(encoded, items)))
    match reply:
        case int():
            return b":%d\r\n" % reply
        case bytes():
            return b"$%d\r\n%b\r\n" % (len(reply), reply)
        case ResponseError():
            # redis-py has cut off the code of the errors for which it has a class.
            code = "NOSCRIPT " if isinstance(reply, NoScriptError) else ""
            text = f"{code}{reply}".replace("\r", " ").replace("\n", " ")
            return b"-%b\r\n" % text.encode()
        case _:
            raise TypeError(f"fakeredis answered {reply!r}")
