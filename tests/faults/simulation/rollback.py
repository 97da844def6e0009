"""A log that loses its newest events, as a restored backup or a failover can make it."""

import random
from typing import NamedTuple

from tests.faults.simulation.server import Server

Entry = tuple[bytes, list[bytes]]


class Standing(NamedTuple):
    """A partition by its hash tag, and the position of the view that stands on it."""

    tag: str
    position: int


def standings(server: Server) -> list[Standing]:
    """Where the views stand, in the order of their partitions."""
    keys = sorted(key.decode() for key in server.ask("KEYS", "*:cp:*"))
    return [
        Standing(key.partition(":cp:")[0], int(server.ask("HGET", key, "position") or 0))
        for key in keys
    ]


def roll_back(server: Server, chance: random.Random) -> None:
    """Let each log end before the event that its view stands on; the view stays as it is."""
    for tag, position in standings(server):
        if position:
            _cut(server, tag, chance.randrange(position))


def _cut(server: Server, tag: str, last: int) -> None:
    """Forget what lies behind a position, and what commands and snapshots know of it."""
    for kind in ("snap", "cmd"):  # a command whose memory is gone is one that was not seen
        for key in server.ask("KEYS", f"{tag}:{kind}:*"):
            server.ask("DEL", key)
    _keep(server, f"{tag}:feed", server.ask("XRANGE", f"{tag}:feed", "-", f"0-{last}"))
    for key in server.ask("KEYS", f"{tag}:e:*"):
        entries: list[Entry] = server.ask("XRANGE", key, "-", "+")
        _keep(server, key, [each for each in entries if _position(each) <= last])


def _keep(server: Server, key: str | bytes, entries: list[Entry]) -> None:
    # Added anew, for a stream remembers the last id that it had.
    server.ask("DEL", key)
    for entry_id, fields in entries:
        server.ask("XADD", key, entry_id, *fields)


def _position(entry: Entry) -> int:
    fields = entry[1]
    return int(fields[2 * fields[::2].index(b"p") + 1])
