"""Lua scripts: one interpreter per process, which reads each script once."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, cast

import fakeredis
from fakeredis import _msgs as messages
from fakeredis._helpers import SimpleError, SimpleString
from fakeredis._socket import FakeSocket
from fakeredis.commands_mixins.scripting_mixin import LUA_MODULE

from tests.faults.simulation.commands import Commands

# Lua's side: a script's keys and arguments, and its answer as RESP. As in a real server, it may
# not make a global variable.
_PRELUDE = rb"""
local concat, floor, ceil, format = table.concat, math.floor, math.ceil, string.format

setmetatable(_G, { __newindex = function(_, name)
  error('Script attempted to create global variable ' .. tostring(name), 2)
end })

local function encode(value, parts)
  local kind = type(value)
  if kind == 'string' then
    parts[#parts + 1] = '$' .. #value .. '\r\n' .. value .. '\r\n'
  elseif kind == 'number' then
    parts[#parts + 1] = format(':%.0f\r\n', value < 0 and ceil(value) or floor(value))
  elseif kind ~= 'table' then
    parts[#parts + 1] = value == true and ':1\r\n' or '*-1\r\n'
  elseif value.err then
    parts[#parts + 1] = '-' .. value.err .. '\r\n'
  elseif value.ok then
    parts[#parts + 1] = '+' .. value.ok .. '\r\n'
  else
    local count = 0
    while value[count + 1] ~= nil do count = count + 1 end
    parts[#parts + 1] = '*' .. count .. '\r\n'
    for i = 1, count do encode(value[i], parts) end
  end
end

local function run(script, count, ...)
  local all, keys = { ... }, {}
  for n = 1, count do keys[n] = all[n] end
  KEYS, ARGV = keys, { select(count + 1, ...) }
  local parts = {}
  encode(script(), parts)
  return concat(parts)
end

-- Lua puts values together in less time than lupa, which asks of each list whether it is a mapping.
local function pack(...)
  return { ... }
end

return run, pack
"""


class _Interpreter:
    """Runs scripts for one server after the other: what a script leaves behind is its keys alone.

    fakeredis makes an interpreter per server, reads a script each time that it is run, and looks
    through all globals and collects garbage each time that it calls something.
    """

    def __init__(self) -> None:
        server = fakeredis.FakeServer()
        socket: Any = FakeSocket(server, 0, client_class=fakeredis.FakeRedis)
        self._runtime: Any = socket._get_server_runtime(server)
        redis = self._runtime.globals()[b"redis"]
        redis[b"call"], redis[b"pcall"] = self._call, self._protected
        self._run: Callable[..., bytes]
        self._pack: Callable[..., Any]
        self._run, self._pack = self._runtime.execute(_PRELUDE)
        self._read: dict[bytes, Any] = {}
        self._commands = Commands()

    def run(
        self, script: bytes, keys: Sequence[bytes], arguments: Sequence[bytes], commands: Commands
    ) -> bytes:
        read = self._read.get(script)
        if read is None:
            read = self._read[script] = self._runtime.compile(script)
        self._commands = commands
        try:
            return self._run(read, len(keys), *keys, *arguments)
        except LUA_MODULE.LuaError as error:
            raise SimpleError(f"ERR Error running script: {error}") from error

    def _call(self, name: bytes, *given: Any) -> Any:
        arguments = [each if type(each) is bytes else _argument(each) for each in given]
        return self._value(self._commands.run(name, arguments, in_script=True))

    def _protected(self, name: bytes, *given: Any) -> Any:
        try:
            return self._call(name, *given)
        except SimpleError as error:
            return self._runtime.table_from({b"err": error.value.encode()})

    def _value(self, reply: Any) -> Any:
        """A reply of fakeredis as Lua has it."""
        match reply:
            case bytes() | int():
                return reply
            case None:
                return False
            case list() | tuple():
                return self._table(cast("Sequence[Any]", reply))
            case dict():
                pairs = cast("Mapping[Any, Any]", reply)
                return self._table([each for pair in pairs.items() for each in pair])
            case SimpleString():
                return self._runtime.table_from({b"ok": reply.value})
            case _:
                raise TypeError(f"fakeredis answered {reply!r}")

    def _table(self, items: Sequence[Any]) -> Any:
        return self._pack(*map(self._value, items))


def _argument(value: Any) -> bytes:
    if type(value) is int or type(value) is float:
        return b"%.17g" % value
    raise SimpleError(messages.LUA_COMMAND_ARG_MSG)


@cache
def _interpreter() -> _Interpreter:
    return _Interpreter()


def answer(
    script: bytes, keys: Sequence[bytes], arguments: Sequence[bytes], commands: Commands
) -> bytes:
    """What a script answers, as RESP; it calls the commands. Raises SimpleError."""
    return _interpreter().run(script, keys, arguments, commands)
