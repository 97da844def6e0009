"""Server-sent events: the events after a place, then each new one, until one side has enough."""

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from typing import Any, cast

import msgspec
from starlette.responses import StreamingResponse
from starlette.types import Send

from whence.store.errors import WhenceError
from whence.store.recorded import Recorded
from whence.web.cloudevents import CloudEvents
from whence.web.live import Ending, Live, Subscription
from whence.web.places import Place

EVENT_STREAM = "text/event-stream"
# Seconds of silence after which each side is shown that the other one is there.
HEARTBEAT = 15.0
# Milliseconds after which a browser connects again.
_RETRY = 2_000
# Events that are read before they are sent.
_PAGE = 100

_HEADERS = {"cache-control": "no-store", "x-accel-buffering": "no"}
_log = logging.getLogger("whence.web")
_encode = msgspec.json.Encoder().encode


class EventStream(StreamingResponse):
    """The response that never ends by itself.

    Each event is a CloudEvent; its id is the place after it, which a browser sends back when it
    connects again. What does not concern the log is an event named "end", with the reason.
    """

    def __init__(self, live: Live, place: Place, events: CloudEvents) -> None:
        super().__init__(_chunks(live, place, events), 200, _HEADERS, EVENT_STREAM)

    async def stream_response(self, send: Send) -> None:
        # Closed at once when the client leaves, and not whenever Python comes to it.
        async with aclosing(cast("AsyncGenerator[Any]", self.body_iterator)):
            await super().stream_response(send)


async def _chunks(live: Live, place: Place, events: CloudEvents) -> AsyncGenerator[bytes]:
    # The place at once: who is cut off before the first event goes on from here, not from later.
    yield b"retry: %d\nid: %s\n\n" % (_RETRY, str(place).encode())
    try:
        ending: Ending | None = None
        while ending is None:
            with live.subscribe(place.stream) as subscription:
                await live.joined()
                async for page in _pages(place.stored()):
                    yield _page(place, events, page)
                    if subscription.ending == "shutdown":
                        ending = "shutdown"  # what was not read stays for the next connection
                        break
                else:
                    if subscription.ending == "too slow":
                        continue  # more came than it could hold while it read: it reads on
                    async for chunk in _new(subscription, place, events):
                        yield chunk
                    ending = subscription.ending
    except WhenceError as error:
        _log.error("live events end: %s", error)
        ending = "store unavailable"
    yield b"event: end\ndata: %s\n\n" % _encode({"reason": ending})


async def _new(
    subscription: Subscription, place: Place, events: CloudEvents
) -> AsyncGenerator[bytes]:
    while True:
        records = await subscription.take(HEARTBEAT)
        if records:
            yield _page(place, events, records)
        elif subscription.ending is not None:
            return
        else:
            # Without data it is no event, but where the client would go on has moved.
            yield b"id: %s\n\n" % str(place).encode()


async def _pages(records: AsyncIterator[Recorded]) -> AsyncGenerator[list[Recorded]]:
    page: list[Recorded] = []
    async for record in records:
        page.append(record)
        if len(page) == _PAGE:
            yield page
            page = []
    if page:
        yield page


def _page(place: Place, events: CloudEvents, records: Sequence[Recorded]) -> bytes:
    return b"".join(
        [
            b"id: %s\ndata: %s\n\n" % (str(place).encode(), _encode(events.of(record)))
            for record in records
            if place.advance(record)
        ]
    )
