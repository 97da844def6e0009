"""A log that loses its newest events, as a restored backup or a failover can make it."""

from tests.faults.simulation.server import Server

Entry = tuple[bytes, list[bytes]]


class Backup:
    """The log as it was at a moment: the streams, the feeds, and what command ids have stored."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._streams: dict[bytes, list[Entry]] = {}
        self._remembered: set[bytes] = set()

    def take(self) -> None:
        self._streams = {key: self._server.ask("XRANGE", key, "-", "+") for key in self._log()}
        self._remembered = set(self._server.ask("KEYS", "*:cmd:*"))

    def restore(self) -> None:
        """What came after the backup is gone; the views stay, as if in another database."""
        lost = [*self._log(), *self._server.ask("KEYS", "*:snap:*")]
        lost += [key for key in self._server.ask("KEYS", "*:cmd:*") if key not in self._remembered]
        for key in lost:
            self._server.ask("DEL", key)
        for key, entries in self._streams.items():
            for entry_id, fields in entries:
                self._server.ask("XADD", key, entry_id, *fields)

    def _log(self) -> list[bytes]:
        return [*self._server.ask("KEYS", "*:e:*"), *self._server.ask("KEYS", "*:feed")]
