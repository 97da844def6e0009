"""Every error that Whence raises on purpose, in one tree.

    WhenceError
    ├── InvalidInput              a value from outside is not acceptable; nothing was changed
    │   ├── InvalidId             an aggregate or command id
    │   ├── InvalidCommand        a command's arguments
    │   ├── CommandIdReused       a command id that has stored something else
    │   ├── InvalidEvent          an event that would not survive storage
    │   ├── InvalidDomain         a domain that contradicts itself, found at start
    │   └── InvalidSetting        a URL, a partition count, a data directory
    ├── NotFound                  what was asked for does not exist
    │   ├── UnknownAggregate
    │   ├── UnknownCommand
    │   ├── UnknownProjection
    │   ├── UnknownReaction
    │   ├── ViewInSql             its rows are in a SQL database, and are read there
    │   ├── UnknownField
    │   ├── StreamNotFound        no event has that stream
    │   ├── VersionNotFound       the stream is shorter
    │   ├── RowNotFound           a view has no row of that key
    │   ├── NotParked             no event of that aggregate waits for a projection or reaction
    │   └── NoGeneration          a view has no such generation to build, drop or go back to
    ├── Rejected                  the domain said no: raised by commands, stores nothing
    ├── Conflict                  another writer came first, and trying again did not help
    │   └── PreconditionFailed    the aggregate is not in the state that the caller asked for
    ├── Overloaded                too many commands wait already; nothing was taken
    ├── DeadlineExceeded          a command was not decided in time; nothing was stored
    ├── OutcomeUnknown            the store did not answer: committed or not, only a retry tells
    ├── StoreUnavailable          nothing was sent, or only a read was: safe to try again
    │   └── DatabaseUnavailable   the database of SQL views; they are where they say they are
    ├── Unauthenticated           nobody knows who is asking
    ├── Forbidden                 it is known who asks, and it is not theirs to do
    ├── TooManySubscribers        no more can listen to live events
    ├── CorruptStore              the log contradicts itself: stop and look
    │   ├── StreamVanished        a stream is shorter than what was read from it before
    │   ├── ChecksumMismatch      stored bytes are not the bytes that were written
    │   ├── UnknownEventType      a stored type or schema version has no class
    │   ├── StreamGap             a version of a stream is missing
    │   ├── UpcastFailed          an upcaster cannot read an event of an older schema version
    │   ├── FeedGap               a feed position is missing
    │   ├── AnchorMismatch        a checkpoint stands on an event that the log does not have
    │   └── ReactionAstray        the same of a reaction's checkpoint
    ├── StoreMismatch             the server is not as this program needs it
    │   └── DurabilityRefused     it keeps less than the durability asked for; nothing was written
    ├── ServerRefused             the server answered with an error of its own
    ├── EmbeddedServerError       the embedded server cannot start or ended by itself
    │   ├── DataDirectoryInUse    another server runs on it
    │   └── DataDirectoryUnsafe   starting on it would lose events
    ├── LeaseLost                 another worker owns the partition now; nothing was written
    ├── ProjectionFailed          a projection cannot apply an event: its partition halts before it
    ├── ReactionFailed            a reaction cannot handle an event: its partition halts before it
    ├── ViewBehind                a view has not applied a position in the time there was
    ├── EventParked               a view goes on without the event at a position: it is parked
    ├── ViewHalted                a generation of a view stands still before it has caught up
    ├── RevisionMismatch          a view was made by another version of its projection
    └── ViewError                 the rows of a view and its projection do not fit
        ├── InvalidRow            a row that would not survive storage, or is not there
        ├── RowMismatch           a stored row does not fit its class any more: rebuild the view
        ├── TableMismatch         a SQL view's table is not as its class declares it
        ├── WriteRefused          its database does not take what an event asks for
        └── AmbiguousRow          rows of one key in several partitions, and no way to merge them

Each keeps its data in attributes and makes its sentence from them: what happened, which value, what
to do. HTTP status codes are the business of whence.web alone.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

__all__ = [
    "AmbiguousRow",
    "AnchorMismatch",
    "ChecksumMismatch",
    "CommandIdReused",
    "Conflict",
    "CorruptStore",
    "DataDirectoryInUse",
    "DataDirectoryUnsafe",
    "DatabaseUnavailable",
    "DeadlineExceeded",
    "DurabilityRefused",
    "EmbeddedServerError",
    "EventParked",
    "FeedGap",
    "Forbidden",
    "InvalidCommand",
    "InvalidDomain",
    "InvalidEvent",
    "InvalidId",
    "InvalidInput",
    "InvalidRow",
    "InvalidSetting",
    "LeaseLost",
    "NotFound",
    "NotParked",
    "OutcomeUnknown",
    "Overloaded",
    "ProjectionFailed",
    "ReactionAstray",
    "ReactionFailed",
    "Rejected",
    "RowMismatch",
    "RowNotFound",
    "ServerRefused",
    "StoreMismatch",
    "StoreUnavailable",
    "StreamGap",
    "StreamNotFound",
    "StreamVanished",
    "TableMismatch",
    "TooManySubscribers",
    "Unauthenticated",
    "UnknownAggregate",
    "UnknownCommand",
    "UnknownEventType",
    "UnknownField",
    "UnknownProjection",
    "UnknownReaction",
    "UpcastFailed",
    "VersionNotFound",
    "ViewBehind",
    "ViewError",
    "ViewInSql",
    "WhenceError",
    "WriteRefused",
]


def shown(value: object, limit: int = 80) -> str:
    """A value as an error message may quote it: escaped, and cut at ``limit`` characters."""
    text = repr(value)
    return text if len(text) <= limit else f"{text[:limit]}... ({len(text)} characters)"


def _choices(names: Sequence[str]) -> str:
    return ", ".join(names) if names else "none"


class WhenceError(Exception):
    """The base of every error in this file. Each can be copied, and sent to another process."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]:
        # Exceptions are made again from ``args``, the sentence, which no constructor here takes.
        return _made_again, (type(self), self.args), self.__dict__


def _made_again(cls: type[WhenceError], args: tuple[Any, ...]) -> WhenceError:
    made = cls.__new__(cls, *args)
    made.args = args  # an OSError among the ancestors keeps none by itself
    return made


class InvalidInput(WhenceError):
    """A value from outside is not acceptable. Nothing was changed.

    ``field`` names the offending field, or is empty when the input as a whole is meant.
    """

    def __init__(self, message: str, *, field: str = "") -> None:
        self.field = field
        super().__init__(message)


class InvalidId(InvalidInput):
    def __init__(self, value: object, *, field: str = "id") -> None:
        self.value = value
        super().__init__(
            f"{shown(value)} is not a valid {field}: use 1 to 128 of the characters "
            "A-Z a-z 0-9 . _ ~ -",
            field=field,
        )


class InvalidCommand(InvalidInput):
    pass


class CommandIdReused(InvalidInput):
    def __init__(self, stream: object, command_id: str) -> None:
        self.stream = stream
        self.command_id = command_id
        super().__init__(
            f"the command id {shown(command_id)} was used for another command to {stream}: give "
            "each command an id of its own, and repeat one only with the same arguments",
            field="command id",
        )


class InvalidEvent(InvalidInput):
    pass


class InvalidDomain(InvalidInput):
    pass


class InvalidSetting(InvalidInput):
    pass


class NotFound(WhenceError):
    pass


class UnknownAggregate(NotFound):
    def __init__(self, name: str, known: Sequence[str]) -> None:
        self.name = name
        super().__init__(f"there is no aggregate {shown(name)}; this domain has: {_choices(known)}")


class UnknownCommand(NotFound):
    def __init__(self, aggregate: str, name: str, known: Sequence[str]) -> None:
        self.aggregate = aggregate
        self.name = name
        super().__init__(f"{aggregate} has no command {shown(name)}; it has: {_choices(known)}")


class UnknownProjection(NotFound):
    def __init__(self, name: str, known: Sequence[str]) -> None:
        self.name = name
        super().__init__(
            f"there is no projection {shown(name)}; this domain has: {_choices(known)}"
        )


class ViewInSql(NotFound):
    def __init__(self, projection: str) -> None:
        self.projection = projection
        super().__init__(
            f"the rows of {projection} are in a SQL database: ask it with SQL, its tables have the "
            "names that the class declares"
        )


class UnknownReaction(NotFound):
    def __init__(self, name: str, known: Sequence[str]) -> None:
        self.name = name
        super().__init__(f"there is no reaction {shown(name)}; there are: {_choices(known)}")


class UnknownField(NotFound):
    def __init__(self, owner: str, name: str, known: Sequence[str]) -> None:
        self.owner = owner
        self.name = name
        super().__init__(f"{owner} has no field {shown(name)}; it has: {_choices(known)}")


class StreamNotFound(NotFound):
    def __init__(self, stream: object, *, at: datetime | None = None) -> None:
        self.stream = stream
        self.at = at
        if at is None:
            super().__init__(f"{stream} does not exist: no event was ever stored for it")
        else:
            super().__init__(f"{stream} did not exist at {at.isoformat()}, or never did")


class VersionNotFound(NotFound):
    def __init__(self, stream: object, version: int, head: int) -> None:
        self.stream = stream
        self.version = version
        self.head = head
        super().__init__(f"{stream} has no version {version}; its versions are 1 to {head}")


class RowNotFound(NotFound):
    def __init__(self, projection: str, key: str) -> None:
        self.projection = projection
        self.key = key
        super().__init__(f"the view {projection} has no row {shown(key)}; it may be about to come")


class NotParked(NotFound):
    """``kind`` is "projection" or "reaction", and ``name`` is its name."""

    def __init__(self, kind: str, name: str, stream: object) -> None:
        self.kind = kind
        self.name = name
        self.stream = stream
        super().__init__(
            f"no event of {stream} is parked by {kind} {name}; `whence {kind}s parked` lists "
            "those that are"
        )


class NoGeneration(NotFound):
    def __init__(self, projection: str, why: str) -> None:
        self.projection = projection
        super().__init__(f"the view {projection} {why}")


class Rejected(WhenceError):
    """The domain says no. Raise it in a command with the reason; the command stores nothing."""


class Conflict(WhenceError):
    """The stream is not at the version that the caller expected, and nothing was stored.

    ``expected`` is None when the caller expected none, and other writers came first each of the
    ``attempts`` times that the command was decided.
    """

    def __init__(
        self, stream: object, expected: int | None, actual: int, *, attempts: int = 1
    ) -> None:
        self.stream = stream
        self.expected = expected
        self.actual = actual
        self.attempts = attempts
        if expected is None:
            message = (
                f"others wrote to {stream} first, each of the {attempts} times that the command "
                f"was decided; it is at version {actual}: try again"
            )
        else:
            message = (
                f"{stream} is at version {actual}, not {expected}: read it again and decide anew"
            )
        super().__init__(message)


class PreconditionFailed(Conflict):
    """The aggregate is not in the state that the caller has made a condition."""

    def __init__(self, stream: object, condition: str, actual: int) -> None:
        super().__init__(stream, None, actual)
        self.args = (
            f"{stream} is at version {actual}, and the condition was {shown(condition)}: "
            "read it again and decide anew",
        )


class Overloaded(WhenceError):
    """So many commands wait for ``what`` that no more is taken.

    ``retry_after`` is in seconds: an estimate of when those will be done.
    """

    def __init__(self, what: str, waiting: int, retry_after: float) -> None:
        self.waiting = waiting
        self.retry_after = retry_after
        super().__init__(
            f"{what} has {waiting:,} commands waiting and takes no more for now: nothing was "
            f"stored, try again in {retry_after:g} s"
        )


class DeadlineExceeded(WhenceError):
    """The command was dropped before it was decided."""

    def __init__(self, stream: object) -> None:
        self.stream = stream
        super().__init__(
            f"a command to {stream} was not decided by its deadline and was dropped: nothing was "
            "stored, try again or allow it more time"
        )


class OutcomeUnknown(WhenceError):
    """The append may or may not have happened.

    Sending the same command id at the same expected version again is safe and tells which.
    """

    def __init__(self, what: str, cause: str) -> None:
        self.cause = cause
        super().__init__(
            f"{what} may or may not have been stored ({cause}): "
            "repeat it with the same command id to learn which"
        )


class StoreUnavailable(WhenceError):
    def __init__(self, where: str, cause: str) -> None:
        self.cause = cause
        super().__init__(f"the event store at {where} cannot be reached ({cause})")


class DatabaseUnavailable(StoreUnavailable):
    def __init__(self, where: str, cause: str) -> None:
        self.cause = cause
        WhenceError.__init__(self, f"the database of SQL views at {where} cannot be used: {cause}")


class Unauthenticated(WhenceError):
    """A request without credentials, or with some that prove nothing; they are not repeated."""

    def __init__(self, why: str) -> None:
        super().__init__(f"{why}: send an API key or a token as Authorization: Bearer ...")


class Forbidden(WhenceError):
    """``who`` may not do this; ``scope`` is what it takes."""

    def __init__(self, who: str, scope: str) -> None:
        self.who = who
        self.scope = scope
        super().__init__(f"{shown(who)} may not do this: it takes the scope {scope}")


class TooManySubscribers(WhenceError):
    """As many as this process allows listen to live events; ``retry_after`` is in seconds."""

    def __init__(self, most: int, retry_after: float) -> None:
        self.retry_after = retry_after
        super().__init__(
            f"{most:,} subscribers listen to live events, and no more are taken: "
            f"try again in {retry_after:g} s"
        )


class CorruptStore(WhenceError):
    pass


class StreamVanished(CorruptStore):
    def __init__(self, stream: object, expected: int, actual: int) -> None:
        self.stream = stream
        self.expected = expected
        self.actual = actual
        super().__init__(
            f"{stream} was at version {expected} and is now at {actual}: events were lost on the "
            "server (eviction, a restored backup, a failover); nothing was appended"
        )


class ChecksumMismatch(CorruptStore):
    def __init__(self, stream: object, version: int) -> None:
        self.stream = stream
        self.version = version
        super().__init__(
            f"version {version} of {stream} does not match its checksum: the stored bytes changed; "
            "restore it from a backup"
        )


class UnknownEventType(CorruptStore):
    def __init__(self, type_name: str, schema_version: int, where: str, known: str) -> None:
        self.type_name = type_name
        self.schema_version = schema_version
        super().__init__(
            f"{where} is a {shown(type_name)} of schema version {schema_version}, which this "
            f"program does not know ({known}): is an older release running?"
        )


class UpcastFailed(CorruptStore):
    """An upcaster cannot bring an event to its present form. The stored event is as it was.

    ``where`` names the stored event, and is empty as long as only its form is known.
    """

    def __init__(self, form: object, why: str, *, where: str = "") -> None:
        self.form = form
        self.why = why
        self.where = where
        event = f" on {where}" if where else ""
        super().__init__(f"the upcaster of {form} failed{event}: {why}")


class StreamGap(CorruptStore):
    def __init__(self, stream: object, expected: int, found: int) -> None:
        self.stream = stream
        self.expected = expected
        self.found = found
        super().__init__(
            f"{stream} goes on at version {found} where {expected} should be: versions are "
            "contiguous, so events were lost on the server"
        )


class FeedGap(CorruptStore):
    def __init__(self, partition: int, expected: int, found: int) -> None:
        self.partition = partition
        self.expected = expected
        self.found = found
        super().__init__(
            f"the feed of partition {partition} goes on at position {found} where {expected} "
            "should be: positions are contiguous, so events were lost on the server"
        )


class AnchorMismatch(CorruptStore):
    def __init__(
        self, projection: str, partition: int, position: int, was: str, found: str
    ) -> None:
        self.projection = projection
        self.partition = partition
        self.position = position
        self.was = was
        self.found = found
        super().__init__(
            f"projection {projection} has applied {was} at position {position} of partition "
            f"{partition}, where the log now has {found}: the log was rolled back under it (a "
            f"restored backup, a failover); run `whence projections rebuild "
            f"{projection.partition('@')[0]}`"
        )


class ReactionAstray(CorruptStore):
    def __init__(self, reaction: str, partition: int, position: int, was: str, found: str) -> None:
        self.reaction = reaction
        self.partition = partition
        self.position = position
        super().__init__(
            f"reaction {reaction} has handled {was} at position {position} of partition "
            f"{partition}, where the log now has {found}: the log was rolled back under it (a "
            f"restored backup, a failover); `whence reactions restart {reaction}` lets it go on at "
            "the end of the log"
        )


class StoreMismatch(WhenceError):
    """The server, or the store on it, has other settings than this program relies on."""


class DurabilityRefused(StoreMismatch):
    """The server keeps less than the durability asked for, or does not show it. Nothing was sent.

    ``wrong`` says what was found, ``remedy`` what to do.
    """

    def __init__(self, where: str, wrong: str, remedy: str) -> None:
        self.wrong = wrong
        self.remedy = remedy
        super().__init__(f"the server at {where} is not durable enough: {wrong}; {remedy}")


class ServerRefused(WhenceError):
    def __init__(self, what: str, answer: str) -> None:
        self.answer = answer
        cluster = "; it is a node of a Cluster: use redis+cluster:// in its URL"
        hint = cluster if answer.startswith("MOVED") else ""
        super().__init__(f"the server refused {what}: {answer}{hint}")


class EmbeddedServerError(WhenceError):
    pass


class DataDirectoryInUse(EmbeddedServerError):
    def __init__(self, path: Path, pid: int | None) -> None:
        self.path = path
        self.pid = pid
        owner = f" (process {pid})" if pid else ""
        super().__init__(
            f"another Whence server already runs on {path}{owner}: stop it first, or choose "
            "another directory; two servers on one directory lose events"
        )


class DataDirectoryUnsafe(EmbeddedServerError):
    def __init__(self, path: Path, reason: str, remedy: str) -> None:
        self.path = path
        super().__init__(f"{path} was not opened: {reason}; {remedy}")


class LeaseLost(WhenceError):
    """``kind`` is "projection" or "reaction", and ``name`` is its name."""

    def __init__(self, name: str, partition: int, kind: str = "projection") -> None:
        self.kind = kind
        self.name = name
        self.partition = partition
        super().__init__(
            f"another worker now owns partition {partition} of {kind} {name}: nothing was written"
        )


class ProjectionFailed(WhenceError):
    """A projection cannot apply an event. Nothing of the event was applied, nor what follows it."""

    def __init__(
        self, projection: str, partition: int, position: int, event: str, why: str
    ) -> None:
        self.projection = projection
        self.partition = partition
        self.position = position
        self.event = event
        super().__init__(
            f"projection {projection} cannot apply {event} (position {position} of partition "
            f"{partition}): {why}"
        )


class ReactionFailed(WhenceError):
    """A reaction cannot handle an event; it will be tried again, and what follows has to wait."""

    def __init__(self, reaction: str, partition: int, position: int, event: str, why: str) -> None:
        self.reaction = reaction
        self.partition = partition
        self.position = position
        self.event = event
        super().__init__(
            f"reaction {reaction} cannot handle {event} (position {position} of partition "
            f"{partition}): {why}"
        )


class ViewBehind(WhenceError, TimeoutError):
    """A view was waited for, and did not come to ``position`` in time; it ``reached`` another."""

    def __init__(
        self, projection: str, partition: int, position: int, reached: int, seconds: float
    ) -> None:
        self.projection = projection
        self.partition = partition
        self.position = position
        self.reached = reached
        super().__init__(
            f"projection {projection} is at position {reached} of partition {partition} after "
            f"{seconds:g} s, and not yet at {position}: is a worker running, and is it halted?"
        )


class EventParked(WhenceError):
    """A view has passed ``position`` without its event: the aggregate's events wait, in order."""

    def __init__(
        self, projection: str, partition: int, position: int, stream: object, version: int
    ) -> None:
        self.projection = projection
        self.partition = partition
        self.position = position
        self.stream = stream
        self.version = version
        super().__init__(
            f"the event at position {position} of partition {partition} is not in projection "
            f"{projection}: version {version} of {stream} is parked there, or waits for an earlier "
            "one that is; `whence projections parked` says why"
        )


class ViewHalted(WhenceError):
    def __init__(self, projection: str, partition: int, position: int, failure: str) -> None:
        self.projection = projection
        self.partition = partition
        self.position = position
        super().__init__(
            f"{projection} stands still at position {position} of partition {partition}: {failure}"
        )


class RevisionMismatch(WhenceError):
    """``found`` is the version that has made a generation of a view, ``ours`` that of this code."""

    def __init__(self, projection: str, found: str, ours: str, advice: str) -> None:
        self.projection = projection
        self.found = found
        self.ours = ours
        super().__init__(
            f"the view {projection} was made by version {found} of its projection, and this code "
            f"has version {ours}: {advice}"
        )


class ViewError(WhenceError):
    pass


class InvalidRow(ViewError):
    def __init__(self, projection: str, key: str, why: str) -> None:
        self.projection = projection
        self.key = key
        super().__init__(f"the row {shown(key)} of {projection} is not acceptable: {why}")


class RowMismatch(ViewError):
    def __init__(self, projection: str, key: str, row: str, why: str) -> None:
        self.projection = projection
        self.key = key
        super().__init__(
            f"the stored row {shown(key)} of {projection} is no {row} ({why}): if that class has "
            f"changed, run `whence projections rebuild {projection}`"
        )


class TableMismatch(ViewError):
    def __init__(self, projection: str, table: str, why: str, remedy: str) -> None:
        self.projection = projection
        self.table = table
        super().__init__(f"the table {table} of projection {projection} {why}: {remedy}")


class WriteRefused(ViewError):
    def __init__(self, projection: str, answer: str) -> None:
        self.projection = projection
        self.answer = answer
        super().__init__(f"the database of {projection} refuses what the event asks for: {answer}")


class AmbiguousRow(ViewError):
    def __init__(self, projection: str, key: str) -> None:
        self.projection = projection
        self.key = key
        super().__init__(
            f"{projection} has rows of the key {shown(key)} in several partitions: give it a "
            "merge(left, right), or use keys that belong to one aggregate"
        )
