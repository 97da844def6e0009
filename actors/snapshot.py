"""A snapshot: the state at one version, kept so that a load need not begin at version 1.

It is a cache that cannot lie: whatever does not prove that it belongs to this code, this stream and
this log counts as absent, and the events tell the state.
"""

from collections.abc import Iterable
from hashlib import sha256
from typing import Any, NamedTuple, cast
from zlib import crc32

import msgspec

from whence.actors.aggregate import Aggregate
from whence.store.events import Event
from whence.store.ids import StreamId
from whence.store.wire import Arg, Reply

# The fields of the hash: version, fingerprint, checksum of the version's event, bytes, checksum.
FIELDS = ("v", "f", "a", "d", "k")
MAX_SNAPSHOT_BYTES = 4_000_000

_encode = msgspec.json.Encoder().encode
# What msgspec raises for bytes or objects it cannot take, beside its own errors.
_CODEC_ERRORS = (msgspec.MsgspecError, RecursionError, UnicodeError, TypeError, ValueError)


class Snapshot(NamedTuple):
    """The state of ``stream`` at ``version``; ``checksum`` is that of the event at that version."""

    stream: StreamId
    version: int
    checksum: int
    state: Aggregate[Any]

    @property
    def anchor(self) -> str:
        """The event on which it stands, as ``Recorded.anchor`` of that event says it."""
        return f"{self.stream}@{self.version}#{self.checksum}"


class Unfit(NamedTuple):
    """Why a state cannot be kept as a snapshot."""

    reason: str


class SnapshotCodec:
    """Turns the states of one aggregate class into stored snapshots and back.

    Attributes:
        fingerprint: of the state's schema and the declared version of ``apply``; a snapshot of any
            other was made by other code.
    """

    def __init__(self, cls: type[Aggregate[Any]], events: Iterable[type[Event]] = ()) -> None:
        self._decoder: msgspec.json.Decoder[Aggregate[Any]] | None = None
        self.fingerprint = ""
        self._unfit = Unfit("")
        try:
            self.fingerprint = _fingerprint(cls, events)
            self._decoder = msgspec.json.Decoder(cls)
        except _CODEC_ERRORS as error:  # only events have to be JSON; such a state loads slower
            self._unfit = Unfit(str(error))

    def encode(self, snapshot: Snapshot) -> list[Arg] | Unfit:
        """The fields and values of the stored hash, proven to decode to the same state again."""
        if self._decoder is None:
            return self._unfit
        try:
            data = _encode(snapshot.state)
            back = self._decoder.decode(data)
        except _CODEC_ERRORS as error:
            return Unfit(str(error))
        if back != snapshot.state:
            return Unfit("it would come back as another state")
        if len(data) > MAX_SNAPSHOT_BYTES:
            return Unfit(f"it is {len(data):,} bytes long, and may have {MAX_SNAPSHOT_BYTES:,}")
        version, checksum = str(snapshot.version), str(snapshot.checksum)
        seal = _seal(snapshot.stream, version, self.fingerprint, checksum, data)
        return ["v", version, "f", self.fingerprint, "a", checksum, "d", data, "k", seal]

    def decode(self, stream: StreamId, reply: Reply) -> Snapshot | None:
        """The snapshot in the reply to HMGET of FIELDS, or None if it is none of this code's.

        Whether its event is in the log is left to ``Snapshot.anchor``.
        """
        if self._decoder is None or not isinstance(reply, list) or None in reply:
            return None
        version, fingerprint, checksum, data, seal = cast("list[bytes]", reply)
        try:
            found = _seal(stream, version.decode(), self.fingerprint, checksum.decode(), data)
            if fingerprint.decode() != self.fingerprint or found != int(seal):
                return None
            return Snapshot(stream, int(version), int(checksum), self._decoder.decode(data))
        except _CODEC_ERRORS:  # flipped bits, or fields that this module did not write
            return None


def _fingerprint(cls: type[Aggregate[Any]], events: Iterable[type[Event]]) -> str:
    """A hash of all that says what the bytes mean; the first state shows changed defaults.

    The schema versions of the events are part of it: with a new one, old events are read otherwise.
    """
    versions = sorted((event.__name__, event.__schema_version__) for event in events)
    meaning = [cls.__type_name__, cls.__state_version__, msgspec.json.schema(cls), cls(), versions]
    return sha256(msgspec.json.encode(meaning, order="sorted")).hexdigest()[:32]


def _seal(stream: StreamId, version: str, fingerprint: str, checksum: str, data: bytes) -> int:
    """CRC-32 of a whole snapshot, its stream included: a copied or moved one does not match."""
    return crc32(data, crc32(f"{stream}\n{version}\n{fingerprint}\n{checksum}\n".encode()))
