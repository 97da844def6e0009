"""One append and its three answers: how they travel to append.lua and back."""

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import msgspec

from whence.store.errors import CommandIdReused, CorruptStore, InvalidEvent, ServerRefused
from whence.store.ids import StreamId
from whence.store.keys import Keys
from whence.store.recorded import (
    Recorded,
    content_checksum,
    moment,
    parse_entries,
    sealed,
)
from whence.store.registry import Encoded
from whence.store.script import ScriptCall, store_script
from whence.store.wire import Arg

MAX_EVENTS_PER_APPEND = 1_000
MAX_APPEND_BYTES = 4_000_000
# Beyond 2^53 a double skips whole numbers; the checksum adds some billions.
MAX_MOMENT_US = 9_000_000_000_000_000
# A conflict brings at most so many missed events along; the rest is read.
MISSED_EVENTS = 100

_SCRIPT = store_script("append")
# So many values of its answer belong to one append.
_ANSWER = 4


class NewEvent(msgspec.Struct, frozen=True):
    """An encoded event on its way into the log.

    ``occurred_at_us`` is None for the server's clock, or microseconds since 1970 for history.
    """

    encoded: Encoded
    metadata_json: bytes = b""
    occurred_at_us: int | None = None


class Remember(NamedTuple):
    """Keep in mind what a command id has stored, for ``milliseconds``.

    ``body`` tells the command from another one that has the same id: it contains no blanks.
    """

    body: str
    milliseconds: int


class Append(msgspec.Struct, frozen=True):
    """Events for one stream, decided when it was at version ``expected`` (0: no stream).

    With ``remember`` the same command id is recognised at any version, and not only at this one.
    ``after_us`` is the moment of the event at that version, in microseconds since 1970: a writer
    who knows it saves the server a look at the event.
    """

    stream: StreamId
    expected: int
    command_id: str
    events: Sequence[NewEvent]
    remember: Remember | None = None
    after_us: int | None = None


class Committed(msgspec.Struct, frozen=True):
    """The events are in the log; these are the marks of the first one, the others follow on.

    ``occurred_at_us``: microseconds since 1970.
    """

    version: int
    position: int
    occurred_at_us: int


class Duplicate(NamedTuple):
    """The same command stored these events before; this time nothing was written."""

    records: list[Recorded]


class Conflicted(NamedTuple):
    """The stream is at version ``head``; nothing was written.

    ``missed`` are the events after the expected version, at most MISSED_EVENTS of them.
    """

    head: int
    missed: list[Recorded]


Outcome = Committed | Duplicate | Conflicted


def check_append(append: Append) -> int:
    """Refuse what the server could not store as it is; returns ``size_of``. Raises InvalidEvent."""
    count = len(append.events)
    if not 1 <= count <= MAX_EVENTS_PER_APPEND:
        raise InvalidEvent(
            f"an append to {append.stream} has {count} events; it may have 1 to "
            f"{MAX_EVENTS_PER_APPEND}"
        )
    size = 0
    for event in append.events:
        size += len(event.encoded.data) + len(event.metadata_json)
        if event.occurred_at_us is not None and abs(event.occurred_at_us) > MAX_MOMENT_US:
            raise InvalidEvent(
                f"an event of {append.stream} would lie before 1685 or after 2255: Lua's numbers "
                "cannot tell microseconds apart there",
                field="occurred_at",
            )
    if size > MAX_APPEND_BYTES:
        raise InvalidEvent(
            f"an append to {append.stream} is {size:,} bytes long; it may have {MAX_APPEND_BYTES:,}"
        )
    return size


def size_of(append: Append) -> int:
    """The bytes that an append brings to the server, without their packing."""
    size = 0
    for event in append.events:  # a generator would take three times as long
        size += len(event.encoded.data) + len(event.metadata_json)
    return size


def append_call(keys: Keys, appends: Sequence[Append]) -> ScriptCall:
    """The one script call that makes all these appends."""
    feeds: dict[int, int] = {}
    streams: list[Arg] = []
    memories: list[Arg] = []
    args: list[Arg] = []
    for append in appends:
        stream, events, command_id = append.stream, append.events, append.command_id
        name = f"{stream.type}/{stream.id}"
        partition = keys.partition_of(name)
        feed = feeds.setdefault(partition, len(feeds) + 1)
        streams.append(keys.stream_in(partition, stream))
        after = "" if append.after_us is None else append.after_us
        args += (feed, name, append.expected, after, command_id, len(events))
        if append.remember is None:
            args.append(0)
        else:
            memories.append(keys.command(stream, command_id))
            args += (len(memories), *append.remember)
        for event in events:
            encoded, occurred = event.encoded, event.occurred_at_us
            args += (
                encoded.type,
                encoded.schema_version,
                encoded.data,
                event.metadata_json,
                "" if occurred is None else occurred,
                content_checksum(
                    name,
                    encoded.type,
                    encoded.schema_version,
                    encoded.data,
                    event.metadata_json,
                    command_id,
                ),
            )
    return ScriptCall(
        _SCRIPT,
        [*map(keys.feed, feeds), *streams, *memories],
        [len(feeds), len(appends), MISSED_EVENTS, *args],
    )


def last_checksum(append: Append, committed: Committed) -> int:
    """The stored checksum of the last event of an append, without reading it back."""
    last = append.events[-1]
    after = len(append.events) - 1
    occurred = committed.occurred_at_us if last.occurred_at_us is None else last.occurred_at_us
    version, position = committed.version + after, committed.position + after
    encoded = last.encoded
    content = content_checksum(
        str(append.stream),
        encoded.type,
        encoded.schema_version,
        encoded.data,
        last.metadata_json,
        append.command_id,
    )
    return sealed(content, version, position, occurred)


def parse_answers(
    keys: Keys, appends: Sequence[Append], answers: object
) -> list[Outcome | Exception]:
    """What append.lua answered for each append; what is wrong with one comes back as its error.

    Nothing is raised: the other appends of the call are stored, whatever became of this one.
    """
    found = cast("list[Any]", answers)
    if not isinstance(answers, list) or len(found) != _ANSWER * len(appends):
        return [_unreadable(found) for _ in appends]
    values = iter(found)
    return [
        # The word is nearly always this one, and a match statement takes its time.
        Committed(one, two, three)
        if word == b"committed"
        else _parse_answer(keys, append, word, one, two)
        for append, word, one, two, three in zip(
            appends, values, values, values, values, strict=True
        )
    ]


def _parse_answer(
    keys: Keys, append: Append, word: object, one: object, two: object
) -> Outcome | Exception:
    try:
        match word, one, two:
            case b"duplicate", [], _:
                return CorruptStore(
                    f"the command {append.command_id} was stored in {append.stream}, where its "
                    "events no longer are: they were lost on the server"
                )
            case b"duplicate", entries, _:
                return Duplicate(_parse_entries(keys, append.stream, entries))
            case b"conflict", int(head), entries:
                return Conflicted(head, _parse_entries(keys, append.stream, entries))
            case _:
                return _refusal(append, word, one, two)
    except CorruptStore as error:
        return error


def _refusal(append: Append, word: object, one: object, two: object) -> Exception:
    match word, one:
        case b"reused", _:
            return CommandIdReused(append.stream, append.command_id)
        case b"backwards", bytes(last):
            return InvalidEvent(
                f"an event of {append.stream} would lie before its last one, of "
                f"{moment(int(last)).isoformat()}: occurred_at never goes back within a stream",
                field="occurred_at",
            )
        case b"shortened", _:
            return CorruptStore(
                f"{append.stream} has given version {append.expected + 1} before, and that event "
                "is gone: somebody has deleted it, so nothing can be appended; restore the log "
                "from a backup"
            )
        case b"refused", bytes(message):
            return ServerRefused(f"to append to {append.stream}", message.decode())
        case _:
            return _unreadable((word, one, two))


def _unreadable(answer: object) -> CorruptStore:
    return CorruptStore(f"append.lua answered {answer!r}, which this release cannot read")


def _parse_entries(keys: Keys, stream: StreamId, entries: object) -> list[Recorded]:
    return parse_entries(stream, keys.partition(stream), cast("list[list[object]]", entries))
