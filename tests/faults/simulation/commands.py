"""fakeredis' commands, called directly: without locks, queues, permissions and notifications."""

import time
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Any, NamedTuple, cast

import fakeredis
from fakeredis import _msgs as messages
from fakeredis._commands import COMMANDS_WITH_SUB, Key, Signature
from fakeredis._core import CommandItem, Database
from fakeredis._helpers import SimpleError
from fakeredis._socket import FakeSocket

# Of the Redis that fakeredis is here.
_VERSION = (8,)


class Keyspace(Database):
    """The keys of a server; ``written`` are those that were, until somebody forgets them."""

    def __init__(self) -> None:
        super().__init__(None)
        self.written: set[bytes] = set()

    def notify_watch(self, key: bytes) -> None:
        self.written.add(key)

    # What the mapping of fakeredis does, without an exception for each key that is not there.

    def __contains__(self, key: object) -> bool:
        item = self._dict.get(cast("bytes", key))
        return item is not None and not self.expired(item)

    def setdefault(self, key: bytes, default: Any = None) -> Any:
        item = self.get(key)
        if item is None:
            item = self[key] = default
        return item

    def get(self, key: bytes, default: Any = None) -> Any:
        item = self._dict.get(key)
        if item is not None and self.expired(item):
            del self._dict[key]
            return default
        return default if item is None else item


class _Shape(NamedTuple):
    """Of one command with so many arguments: which of them are decoded, and which are keys."""

    decoded: tuple[tuple[int, Callable[[bytes], Any]], ...]
    keys: tuple[tuple[int, Key], ...]
    short: tuple[tuple[int, Any], ...]  # keys without which there is a reply at once


@cache
def _shape(signature: Signature, count: int) -> _Shape:
    repeated = [
        signature.repeat[n % len(signature.repeat)] for n in range(count - len(signature.fixed))
    ]
    kinds: list[tuple[int, Any]] = list(enumerate([*signature.fixed, *repeated]))
    keys = tuple((place, kind) for place, kind in kinds if isinstance(kind, Key))
    return _Shape(
        tuple(
            (place, kind.decode)
            for place, kind in kinds
            if not isinstance(kind, Key) and kind is not bytes
        ),
        keys,
        tuple(
            (place, key.missing_return)
            for place, key in keys
            if key.missing_return is not Key.UNSPECIFIED
        ),
    )


class _Command:
    """One command of fakeredis."""

    def __init__(self, signature: Signature, function: Callable[..., Any]) -> None:
        self._signature = signature
        self._function = function
        self._creates = messages.FLAG_DO_NOT_CREATE not in signature.flags
        self._removes_empty = messages.FLAG_LEAVE_EMPTY_VAL not in signature.flags
        self._shapes: dict[int, _Shape] = {}
        self.in_scripts = messages.FLAG_NO_SCRIPT not in signature.flags

    def __call__(self, keyspace: Keyspace, given: Sequence[bytes]) -> Any:
        """Its reply as fakeredis has it, before any protocol. Raises SimpleError."""
        shape = self._shapes.get(len(given))
        if shape is None:
            self._signature.check_arity(given, _VERSION)
            shape = self._shapes[len(given)] = _shape(self._signature, len(given))
        for place, reply in shape.short:
            if given[place] not in keyspace:
                return reply
        arguments: list[Any] = list(given)
        for place, decode in shape.decoded:
            arguments[place] = decode(given[place])
        for place, key in shape.keys:
            arguments[place] = self._item(keyspace, given[place], key)
        try:
            return self._function(*arguments)
        finally:
            for place, _ in shape.keys:
                item: CommandItem = arguments[place]
                if item.is_modified:
                    item.writeback(remove_empty_val=self._removes_empty)

    def _item(self, keyspace: Keyspace, name: bytes, key: Key) -> CommandItem:
        item = keyspace.get(name)
        kind = key.type_
        if kind is None:
            return CommandItem(name, keyspace, item)
        if item is None:
            default = kind() if self._creates and kind is not bytes else None
            return CommandItem(name, keyspace, None, default)
        if type(item.value) is not kind:
            raise SimpleError(messages.WRONGTYPE_MSG)
        return CommandItem(name, keyspace, item)


class Commands:
    """All commands of a server of its own, on the keys that it has."""

    def __init__(self) -> None:
        server = fakeredis.FakeServer(_VERSION)
        self._keyspace = server.dbs[0] = Keyspace()
        self._socket: Any = FakeSocket(server, 0, client_class=fakeredis.FakeRedis)
        self._known: dict[bytes, _Command] = {}

    def begin(self) -> None:
        """What expires until now is gone; nothing expires in the midst of a script."""
        self._keyspace.time = time.time()

    def run(self, name: bytes, given: Sequence[bytes], *, in_script: bool = False) -> Any:
        """The reply to a command as fakeredis has it; raises SimpleError."""
        command = self._known.get(name)
        if command is None:
            lower = name.lower().decode(errors="replace")
            if lower in COMMANDS_WITH_SUB and given:
                return self.run(name + b" " + given[0], given[1:], in_script=in_script)
            command = self._known[name] = self._command(lower)
        if in_script and not command.in_scripts:
            raise SimpleError(messages.COMMAND_IN_SCRIPT_MSG)
        return command(self._keyspace, given)

    def _command(self, name: str) -> _Command:
        function, signature = self._socket._name_to_func(name)
        return _Command(signature, function)

    def written(self) -> set[bytes]:
        """The keys that were written since this was asked the last time."""
        written = self._keyspace.written
        if written:
            self._keyspace.written = set()
        return written

    def any_lasts(self, written: Iterable[bytes]) -> bool:
        """Whether one of these keys does not expire by itself, or is gone."""
        items = map(self._keyspace.get, written)
        return any(item is None or item.expireat is None for item in items)
