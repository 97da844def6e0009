"""What is happening now: one reader of the log per process, and everybody who listens to it."""

import asyncio
import logging
from collections import deque
from collections.abc import Generator
from contextlib import contextmanager
from typing import Literal

from whence.store.errors import TooManySubscribers, WhenceError
from whence.store.eventstore import EventStore
from whence.store.follow import follow
from whence.store.ids import StreamId
from whence.store.recorded import Recorded

# How many may listen, and how many events may wait for one of them.
MAX_SUBSCRIBERS = 10_000
MAX_WAITING = 1_000
# Seconds after which a refused subscriber may try again.
RETRY_AFTER = 5.0

# Why a subscription has ended: this process stops, the subscriber does not keep up, or the log
# could not be read. All three can be continued elsewhere, or later.
Ending = Literal["shutdown", "too slow", "store unavailable"]

_log = logging.getLogger("whence.web")


class Subscription:
    """The events that came for one subscriber since it began, and that it has not taken yet."""

    __slots__ = ("_arrived", "_records", "ending")

    def __init__(self) -> None:
        self.ending: Ending | None = None
        self._records: deque[Recorded] = deque()
        self._arrived = asyncio.Event()

    def offer(self, record: Recorded) -> None:
        if self.ending is not None:
            return  # what follows on from a gap must not be given to it
        if len(self._records) >= MAX_WAITING:
            self.end("too slow")
        else:
            self._records.append(record)
            self._arrived.set()

    def end(self, ending: Ending) -> None:
        """The first reason counts; what has arrived can still be taken."""
        self.ending = self.ending or ending
        self._arrived.set()

    async def take(self, within: float) -> list[Recorded]:
        """What has arrived, at the latest after so many seconds; empty then, and at the end."""
        if not self._records and self.ending is None:
            try:
                async with asyncio.timeout(within):
                    await self._arrived.wait()
            except TimeoutError:
                return []
        taken = list(self._records)
        self._records.clear()
        if self.ending is None:
            self._arrived.clear()
        return taken


class Live:
    """Hands each new event to those who listen.

    The log is followed while somebody does; ``end`` ends all subscriptions, which a server has to
    do before it waits for its last requests. ``ended`` is set then.
    """

    def __init__(self, store: EventStore, *, max_subscribers: int = MAX_SUBSCRIBERS) -> None:
        self._store = store
        self._max = max_subscribers
        self.ended = asyncio.Event()
        self._all: set[Subscription] = set()
        self._of_stream: dict[StreamId, set[Subscription]] = {}
        self._count = 0
        self._reader: asyncio.Task[None] | None = None
        self._reading: asyncio.Future[None] | None = None

    @property
    def subscribers(self) -> int:
        return self._count

    @property
    def reading(self) -> bool:
        """Whether the log is followed."""
        return self._reader is not None

    def check_room(self) -> None:
        """Raises TooManySubscribers when no more may listen."""
        if self._count >= self._max:
            raise TooManySubscribers(self._max, RETRY_AFTER)

    @contextmanager
    def subscribe(self, stream: StreamId | None = None) -> Generator[Subscription]:
        """Listen to one stream, or to all."""
        subscription = Subscription()
        group = self._all if stream is None else self._of_stream.setdefault(stream, set())
        group.add(subscription)
        self._count += 1
        if self.ended.is_set():
            subscription.end("shutdown")
        try:
            yield subscription
        finally:
            group.discard(subscription)
            self._count -= 1
            if stream is not None and not group:
                self._of_stream.pop(stream, None)
            if not self._count:
                self._stop_reading()

    async def joined(self) -> None:
        """Wait until what is stored from now on reaches the present subscribers."""
        if self.ended.is_set():
            return
        if self._reader is None or self._reader.done():
            self._reading = asyncio.get_running_loop().create_future()
            self._reader = asyncio.create_task(self._read(self._reading))
        assert self._reading is not None
        await asyncio.shield(self._reading)

    async def _read(self, reading: asyncio.Future[None]) -> None:
        try:
            partitions = range(self._store.keys.partitions)
            heads = await self._store.feed_heads(partitions)
            reading.set_result(None)
            async for record in follow(
                self._store, after=dict(zip(partitions, heads, strict=True))
            ):
                self._hand_out(record)
        except WhenceError as error:
            _log.error("live events end: %s", error)
            self._end_all("store unavailable")
        finally:
            if not reading.done():
                reading.set_result(None)  # who waits finds that its subscription has ended

    def _hand_out(self, record: Recorded) -> None:
        for subscription in self._all:
            subscription.offer(record)
        for subscription in self._of_stream.get(record.stream, ()):
            subscription.offer(record)

    def end(self) -> None:
        """End every subscription, also those still to come."""
        self.ended.set()
        self._end_all("shutdown")
        self._stop_reading()

    def _end_all(self, ending: Ending) -> None:
        for group in (self._all, *self._of_stream.values()):
            for subscription in group:
                subscription.end(ending)

    def _stop_reading(self) -> None:
        if self._reader is not None:
            self._reader.cancel()
            self._reader = None
