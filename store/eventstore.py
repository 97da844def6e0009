"""The event store: append under a version check, read in every direction."""

import asyncio
import itertools
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime

from whence.store.address import Address
from whence.store.append import Append, Outcome, check_append
from whence.store.appender import RESOLVE_FOR, Appender, Deliver
from whence.store.durability import FSYNC, RELAXED, Durability, Promise
from whence.store.errors import (
    CommandIdReused,
    StoreUnavailable,
    StreamGap,
    StreamVanished,
)
from whence.store.feed import Piece, Pointer, Span, check_contiguous, parse_pointers, spans
from whence.store.identity import Identity, establish
from whence.store.ids import StreamId, entry_id
from whence.store.keys import Keys
from whence.store.page import Part, parse_page, pointed_at, read_piece
from whence.store.recorded import Recorded, microseconds
from whence.store.wire import (
    Arg,
    Command,
    ConnectionLost,
    Reply,
    ServerError,
    call_reading,
    refusal,
)

PAGE = 500

_DEFAULT = Promise()


class EventStore:
    """Streams of events and the feeds that point to them.

    Made by ``open_store``. Safe to share between tasks; appends and reads have a connection each,
    so a read never waits for a disk write.
    """

    def __init__(
        self,
        address: Address,
        keys: Keys,
        identity: Identity,
        *,
        promise: Promise = _DEFAULT,
        resolve_for: float = RESOLVE_FOR,
    ) -> None:
        self.address = address
        self.keys = keys
        self.identity = identity
        self.durability = RELAXED if address.in_memory else promise.durability
        # A server that comes back may have another configuration, or be another server.
        self._writing = address.wire(guard=promise.check)
        self._reading = address.wire()
        self._where = address.shown
        self._appender = Appender(keys, self._writing, self.durability, resolve_for)

    def lane(self, stream: StreamId) -> int:
        """Appends to streams of one lane may share a call: all, or in a Cluster a partition's."""
        return self.keys.partition(stream) if self.address.spread else 0

    async def append(self, append: Append) -> Outcome:
        """Append to one stream; see ``append_many``, whose errors this raises."""
        (outcome,) = await self.append_many([append])
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def submit(self, appends: Sequence[Append], deliver: Deliver) -> None:
        """``append_many`` without a future, for appends of one lane that were checked before.

        ``deliver`` is called from the event loop with what ``append_many`` would return, or with
        the error that it would raise.
        """
        self._appender.submit(appends, deliver)

    async def append_many(self, appends: Sequence[Append]) -> list[Outcome | Exception]:
        """Make many appends in one call, in a Cluster one per partition; each stands for itself.

        A lost answer is resolved here: the same command ids are sent again at the same versions,
        which commits what was not stored and recognises what was. So is an answer that too few
        replicas acknowledged. Several appends to one stream must follow on from each other.

        Returns:
            One outcome per append: Committed, Duplicate, Conflicted, or the error of that append
            (InvalidEvent, ServerRefused, CorruptStore). Where the appends went out in several
            calls, the errors below stand in the places of those whose call had them.

        Raises:
            InvalidEvent: an append is too large; nothing was sent.
            OutcomeUnknown: the server did not answer for 15 seconds after something was sent, or
                not enough replicas did.
            StoreUnavailable: it could not be reached for as long, and nothing was sent.
            ServerRefused: it answered with an error (out of memory, no permission); nothing stored.
            DurabilityRefused: it came back with settings that keep less than was promised; nothing
                was sent.
        """
        for append in appends:
            check_append(append)
        if not self.address.spread:
            return await self._appender.append(appends)
        lanes: dict[int, list[int]] = {}
        for place, append in enumerate(appends):
            lanes.setdefault(self.lane(append.stream), []).append(place)
        if len(lanes) <= 1:
            return await self._appender.append(appends)
        return await self._apart(appends, list(lanes.values()))

    async def _apart(
        self, appends: Sequence[Append], lanes: Sequence[Sequence[int]]
    ) -> list[Outcome | Exception]:
        """A call for each lane, all at once; ``lanes`` are places of appends."""
        calls = [self._appender.append([appends[place] for place in lane]) for lane in lanes]
        found: dict[int, Outcome | Exception] = {}
        for lane, outcomes in zip(
            lanes, await asyncio.gather(*calls, return_exceptions=True), strict=True
        ):
            if isinstance(outcomes, Exception):
                found.update(dict.fromkeys(lane, outcomes))
            elif isinstance(outcomes, BaseException):
                raise outcomes
            else:
                found.update(zip(lane, outcomes, strict=True))
        return [found[place] for place in range(len(appends))]

    async def recall(self, stream: StreamId, command_id: str, body: str) -> list[Recorded] | None:
        """The events that a remembered command id has stored, or None.

        Raises:
            CommandIdReused: they were stored by a command with another ``body``.
            StoreUnavailable, ServerRefused, CorruptStore
        """
        known: bytes | None = await self.ask("GET", self.keys.command(stream, command_id))
        if known is None:
            return None
        stored_body, version, count = known.decode().split(" ")
        if stored_body != body:
            raise CommandIdReused(stream, command_id)
        first, last = int(version), int(version) + int(count) - 1
        records = [record async for record in self.read(stream, first=first, last=last)]
        if len(records) != int(count):
            raise StreamVanished(stream, last, await self.head(stream))
        return records

    async def read(
        self,
        stream: StreamId,
        *,
        first: int = 1,
        last: int | None = None,
        until: datetime | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[Recorded]:
        """The events of a stream in their order, read in pages of 500.

        Args:
            first, last: versions, both included; without ``last`` to the end.
            until: only events that had occurred by this moment (aware).
            limit: at most so many.

        Raises:
            StoreUnavailable, ServerRefused: the server cannot be read.
            CorruptStore: a version is missing, or an event's bytes have changed.
        """
        end = None if until is None else microseconds(until)
        expected = max(first, 1)
        while limit is None or limit > 0:
            page = await self._page(stream, expected, last, min(limit or PAGE, PAGE))
            for record in page:
                if record.version != expected:
                    raise StreamGap(stream, expected, record.version)
                if end is not None and record.occurred_at_us > end:
                    return
                yield record
                expected += 1
            limit = None if limit is None else limit - len(page)
            if len(page) < PAGE:
                return

    async def _page(
        self, stream: StreamId, first: int, last: int | None, count: int
    ) -> list[Recorded]:
        if last is not None and last < first:
            return []
        end = "+" if last is None else entry_id(last)
        reply = await self.ask(
            "XRANGE", self.keys.stream(stream), entry_id(first), end, "COUNT", count
        )
        return parse_page([Part(stream, self.keys.partition(stream), reply)])

    async def read_many(self, spans: Sequence[Span], *, limit: int = PAGE) -> list[list[Recorded]]:
        """The first ``limit`` events of each span, in one round trip; raises like ``read``."""
        parts = await self._parts(spans, "COUNT", limit)
        records = iter(parse_page(parts))
        pages = [list(itertools.islice(records, len(part.entries))) for part in parts]
        for span, page in zip(spans, pages, strict=True):
            for expected, record in enumerate(page, span.first):
                if record.version != expected:
                    raise StreamGap(span.stream, expected, record.version)
        return pages

    async def read_backwards(
        self, stream: StreamId, *, last: int | None = None, limit: int | None = None
    ) -> AsyncIterator[Recorded]:
        """The events of a stream from version ``last`` (or its end) down; raises like ``read``."""
        partition = self.keys.partition(stream)
        start = "+" if last is None else entry_id(last)
        while limit is None or limit > 0:
            count = min(limit or PAGE, PAGE)
            reply = await self.ask(
                "XREVRANGE", self.keys.stream(stream), start, "-", "COUNT", count
            )
            records = parse_page([Part(stream, partition, reply)])
            for record in records:
                yield record
            limit = None if limit is None else limit - len(records)
            if len(records) < count or records[-1].version == 1:
                return
            start = entry_id(records[-1].version - 1)

    async def head(self, stream: StreamId) -> int:
        """The version of the last event of a stream, 0 if there is none."""
        async for record in self.read_backwards(stream, limit=1):
            return record.version
        return 0

    async def feed_head(self, partition: int) -> int:
        """The position of the last event of a partition, 0 if there is none."""
        (head,) = await self.feed_heads([partition])
        return head

    async def feed_heads(self, partitions: Sequence[int]) -> list[int]:
        """``feed_head`` for many partitions in one round trip."""
        replies = await self.ask_many(
            [("XREVRANGE", self.keys.feed(p), "+", "-", "COUNT", 1) for p in partitions]
        )
        return [parse_pointers(reply)[0].position if reply else 0 for reply in replies]

    async def pointers(
        self, partition: int, *, after: int, before: int | None = None, limit: int = PAGE
    ) -> list[Pointer]:
        """The feed of a partition after a position. Raises FeedGap where one is missing."""
        end = "+" if before is None else entry_id(before - 1)
        reply = await self.ask(
            "XRANGE", self.keys.feed(partition), entry_id(after + 1), end, "COUNT", limit
        )
        found = parse_pointers(reply)
        check_contiguous(partition, after, found)
        return found

    async def fetch(self, pointers: Sequence[Pointer]) -> list[Recorded]:
        """The events that pointers point to, in their order, in one round trip.

        Raises:
            CorruptStore: an event is not where its pointer says.
        """
        wanted = spans(pointers)
        return pointed_at(pointers, wanted, parse_page(await self._parts(wanted)))

    async def load(self, pieces: Mapping[int, Piece]) -> None:
        """Ask for the events of pieces of the feeds, by partition, in one round trip.

        They are kept in the piece as they came, for ``fetch_pieces`` or ``read_piece``.
        """
        missing = {n: piece for n, piece in pieces.items() if piece.missing}
        commands: list[Command] = []
        for number, piece in missing.items():
            commands += [self._range(number, span) for span in piece.spans]
        replies = iter(await self.ask_many(commands))
        for piece in missing.values():
            piece.entries = list(itertools.islice(replies, len(piece.spans)))

    async def fetch_pieces(self, pieces: Mapping[int, Piece]) -> dict[int, list[Recorded]]:
        """``fetch`` for pieces of the feeds of many partitions, by partition.

        Raises:
            CorruptStore: of one of them, an event is not where its pointer says; ``fetch`` tells
                which event it is.
        """
        await self.load(pieces)
        return {number: read_piece(number, piece) for number, piece in pieces.items()}

    async def _parts(self, spans: Sequence[Span], *options: Arg) -> list[Part]:
        """The entries of each span, unread."""
        numbers = [self.keys.partition(stream) for stream, _, _ in spans]
        replies = await self.ask_many(
            [
                (*self._range(number, span), *options)
                for number, span in zip(numbers, spans, strict=True)
            ]
        )
        return [
            Part(stream, number, reply)
            for number, (stream, _, _), reply in zip(numbers, spans, replies, strict=True)
        ]

    def _range(self, partition: int, span: Span) -> Command:
        stream, first, last = span
        return ("XRANGE", self.keys.stream_in(partition, stream), f"0-{first}", f"0-{last}")

    async def ask(self, *command: Arg) -> Reply:
        """Send one reading command; repeats once on a lost connection, for reading is harmless.

        Raises:
            StoreUnavailable, ServerRefused
        """
        (reply,) = await self.ask_many([command])
        return reply

    async def ask_many(self, commands: Sequence[Command]) -> list[Reply]:
        """``ask`` for many commands in one round trip; the first error reply is raised."""
        replies = await self.replies(commands)
        for command, reply in zip(commands, replies, strict=True):
            if isinstance(reply, ServerError):
                raise refusal(self.address.shown, " ".join(map(str, command[:2])), reply)
        return replies

    async def replies(self, commands: Sequence[Command]) -> list[Reply]:
        """``ask_many``, but an error reply stands in its place as a ServerError.

        Raises:
            StoreUnavailable
        """
        if not commands:
            return []
        return await call_reading(self._reading, commands, self._where)

    async def replies_of_each(self, *commands: Command) -> dict[str, list[Reply]]:
        """``replies`` of every server that takes appends, by its address.

        Raises:
            StoreUnavailable: one of them cannot be read.
        """
        try:
            return await self._reading.each(commands)
        except ConnectionLost as error:
            raise StoreUnavailable(self.address.shown, str(error)) from error

    async def close(self) -> None:
        await self._writing.close()
        await self._reading.close()


@asynccontextmanager
async def open_store(
    url: str,
    *,
    namespace: str = "whence",
    partitions: int | None = None,
    durability: Durability | str = FSYNC,
    assert_durability: bool = False,
) -> AsyncGenerator[EventStore]:
    """Open the store at a URL, and make it if the server has none of that name.

    Args:
        url: see ``Address.parse``.
        namespace: keeps several stores on one server apart.
        partitions: for a new store, 64 unless given; fixed from then on. None takes what is there.
        durability: ``fsync``, ``relaxed`` or ``replicated:N``; see ``Durability``. The server is
            compared with it now, and again whenever the writing connection is made anew. A store
            in memory is ``relaxed`` by nature.
        assert_durability: the operator vouches for settings that the server does not show.

    Raises:
        InvalidSetting: the URL, namespace, durability or partition count is not acceptable.
        DurabilityRefused: the server keeps less than ``durability``, or does not show it.
        StoreMismatch: the store there was made with other settings.
        StoreUnavailable, ServerRefused: the server cannot be used.
    """
    address = Address.parse(url)
    named = Durability.parse(durability) if isinstance(durability, str) else durability
    promise = Promise(named, assert_durability)
    identity = await _identify(address, namespace, partitions, promise)
    store = EventStore(address, Keys(namespace, identity.partitions), identity, promise=promise)
    try:
        yield store
    finally:
        await store.close()


async def _identify(
    address: Address, namespace: str, partitions: int | None, promise: Promise
) -> Identity:
    wire = address.wire(guard=promise.check_at_start)
    try:
        await wire.each([("PING",)])  # so every server has been looked at before the first event
        return await establish(wire, address.shown, namespace, partitions)
    except ConnectionLost as error:
        raise StoreUnavailable(address.shown, str(error)) from error
    finally:
        await wire.close()
