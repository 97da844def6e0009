"""Where a command belongs in a Cluster: the slot of its first key."""

from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot

from whence.store.wire import Command

SLOTS = REDIS_CLUSTER_HASH_SLOTS

# Commands about a server, or about the connection; any node can answer them.
_WITHOUT_KEY = frozenset(
    {"ACL", "CLIENT", "CLUSTER", "CONFIG", "ECHO", "INFO", "KEYS", "PING", "ROLE", "SCRIPT", "WAIT"}
)
_AFTER_SUBCOMMAND = frozenset({"MEMORY", "XGROUP", "XINFO"})
_SCRIPTS = frozenset({"EVAL", "EVALSHA"})
_STREAMS = frozenset({"XREAD", "XREADGROUP"})


def slot_of(command: Command) -> int | None:
    """The slot of a command's first key, None for a command without one.

    Commands are written as Whence writes them: names in capitals.
    """
    place = _place_of_key(command)
    if place is None or place >= len(command):
        return None
    key = command[place]
    return int(key_slot(key if isinstance(key, bytes) else str(key).encode()))


def _place_of_key(command: Command) -> int | None:
    name = command[0]
    if name in _SCRIPTS:
        return 3 if command[2] else None
    if name in _STREAMS:
        return command.index("STREAMS") + 1
    if name in _AFTER_SUBCOMMAND:
        return 2
    return None if name in _WITHOUT_KEY else 1
