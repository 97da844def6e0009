"""Every key that Whence writes (grammar v1). No other module spells one.

    key                              type    written by                 content
    ns:identity                      hash    identity.lua               uuid, partitions, grammar
    ns:workers:<projection>          hash    beat.lua (expires)         worker -> when it last lived
    ns:generations:<projection>      hash    claim, begin, switch.lua   which one is live, a wish
    ns:compared:<projection>         string  compared.py (expires)      how two generations differ
    {ns:017}:e:<type>:<id>           stream  append.lua                 events; id 0-<version>
    {ns:017}:feed                    stream  append.lua                 pointers; id 0-<position>
    {ns:017}:cmd:<type>:<id>:<cmd>   string  append.lua (expires)       what a command id has stored
    {ns:017}:snap:<type>:<id>        hash    actors/snapshots.py        state at a version: a cache
    {ns:017}:lease:<projection>      string  acquire.lua (expires)      the worker that owns it
    {ns:017}:cp:<projection>         hash    acquire, commit, clear.lua epoch, position, anchor, log
    {ns:017}:view:<projection>       hash    commit.lua                 row key -> row (JSON)
    {ns:017}:index:<projection>      zset    commit.lua                 field, value, key of the row
    {ns:017}:parked:<projection>     hash    commit.lua                 stream -> why it waits
    {ns:017}:skipped:<projection>    hash    commit.lua                 stream@version -> by whom
    {ns:017}:asked:<projection>      hash    ask.lua, commit.lua        stream -> what is to be done
    {ns:017}:timers:<reaction>       hash    react.lua, fired.lua       aggregate/timer -> command
    {ns:017}:due:<reaction>          zset    react.lua, fired.lua       aggregate/timer -> when

A reaction has keys of its name as a projection has, but for the view; begin.lua and react.lua write
its checkpoint, and react.lua what is parked and skipped.

A view that is made anew lies beside the one that readers see: its later generations have "@2", "@3"
behind the name of the projection, in all keys but the one that says which of them is live.

``{ns:017}`` is the hash tag of partition 17: all that one append or one checkpoint touches lies in
one Cluster slot; the four keys without one belong to no partition. Streams and feeds are never
deleted, trimmed or expired; a snapshot may be deleted at any time. A worker that waits for the
first event of a partition makes its feed, empty, by XGROUP CREATE MKSTREAM.
"""

import re
from zlib import crc32

from whence.store.errors import InvalidSetting, shown
from whence.store.ids import StreamId

GRAMMAR = 1
DEFAULT_PARTITIONS = 64
MAX_PARTITIONS = 1000

_NAMESPACE = re.compile(r"[a-z0-9-]{1,32}")


class Keys:
    """The keys of one store.

    Args:
        namespace: what keeps several stores on one server apart: 1 to 32 of a-z 0-9 and "-".
        partitions: how many partitions the store was created with, 1 to 1000.
    """

    def __init__(self, namespace: str, partitions: int) -> None:
        self.namespace = check_namespace(namespace)
        self.partitions = check_partitions(partitions)
        self._tags = [f"{{{namespace}:{number:03d}}}" for number in range(partitions)]

    def partition(self, stream: StreamId) -> int:
        """The partition of a stream: a hash that is the same in every process and release."""
        return self.partition_of(f"{stream.type}/{stream.id}")

    def partition_of(self, name: str) -> int:
        """``partition`` for callers who have the stream's name already: "order/42"."""
        return crc32(name.encode()) % self.partitions

    def stream(self, stream: StreamId) -> str:
        return self.stream_in(self.partition(stream), stream)

    def stream_in(self, partition: int, stream: StreamId) -> str:
        """``stream`` for callers who know its partition already."""
        return f"{self._tags[partition]}:e:{stream.type}:{stream.id}"

    def snapshot(self, stream: StreamId) -> str:
        return f"{self._tags[self.partition(stream)]}:snap:{stream.type}:{stream.id}"

    def feed(self, partition: int) -> str:
        return f"{self._tags[partition]}:feed"

    def command(self, stream: StreamId, command_id: str) -> str:
        return f"{self._tags[self.partition(stream)]}:cmd:{stream.type}:{stream.id}:{command_id}"

    def lease(self, partition: int, projection: str) -> str:
        return f"{self._tags[partition]}:lease:{projection}"

    def workers(self, projection: str) -> str:
        """Those that share the partitions of a projection."""
        return f"{self.namespace}:workers:{projection}"

    def checkpoint(self, partition: int, projection: str) -> str:
        return f"{self._tags[partition]}:cp:{projection}"

    def view(self, partition: int, projection: str) -> str:
        return f"{self._tags[partition]}:view:{projection}"

    def index(self, partition: int, projection: str) -> str:
        return f"{self._tags[partition]}:index:{projection}"

    def parked(self, partition: int, projection: str) -> str:
        return f"{self._tags[partition]}:parked:{projection}"

    def skipped(self, partition: int, projection: str) -> str:
        return f"{self._tags[partition]}:skipped:{projection}"

    def asked(self, partition: int, projection: str) -> str:
        return f"{self._tags[partition]}:asked:{projection}"

    def timers(self, partition: int, reaction: str) -> str:
        return f"{self._tags[partition]}:timers:{reaction}"

    def due(self, partition: int, reaction: str) -> str:
        return f"{self._tags[partition]}:due:{reaction}"

    def generations(self, projection: str) -> str:
        """Which generation of a view is live; in no partition, so that it changes at once."""
        return f"{self.namespace}:generations:{projection}"

    def compared(self, projection: str) -> str:
        """What a comparison of the generations of a view has found."""
        return f"{self.namespace}:compared:{projection}"


def identity_key(namespace: str) -> str:
    """The key that tells how many partitions there are."""
    return f"{check_namespace(namespace)}:identity"


def check_namespace(namespace: str) -> str:
    if _NAMESPACE.fullmatch(namespace) is None:
        raise InvalidSetting(
            f"{shown(namespace)} is not a namespace: use 1 to 32 of the characters a-z 0-9 -",
            field="namespace",
        )
    return namespace


def check_partitions(partitions: int) -> int:
    if not 1 <= partitions <= MAX_PARTITIONS:
        raise InvalidSetting(
            f"{partitions} partitions are not possible: choose 1 to {MAX_PARTITIONS}",
            field="partitions",
        )
    return partitions
