"""A log of orders as a shop leaves it behind: many open at a time, each on its own pace."""

import itertools
import random
from collections.abc import Iterator

from examples.orders.domain import (
    Item,
    OrderApproved,
    OrderDelivered,
    OrderPlaced,
    OrderShipped,
    domain,
)
from whence import Event
from whence.store.append import Append, Committed, NewEvent
from whence.store.eventstore import EventStore
from whence.store.ids import CommandIds, StreamId

EVENTS_EACH = 4
# Orders that are neither delivered nor still to come: between two events of one lie as many others.
OPEN = 2_000
_PER_CALL = 500


async def fill(
    store: EventStore, orders: int, *, open_at_once: int = OPEN, per_append: int = 1
) -> None:
    """Append every event of so many orders; which one moves on next is drawn, always alike.

    Args:
        per_append: events of one order that are stored by one command: 1, 2 or 4.
    """
    calls: list[Append] = []
    for append in _appends(orders, open_at_once, per_append):
        calls.append(append)
        if len(calls) == _PER_CALL:
            await _append(store, calls)
            calls = []
    await _append(store, calls)


async def _append(store: EventStore, appends: list[Append]) -> None:
    for outcome in await store.append_many(appends):
        assert isinstance(outcome, Committed), outcome


def _appends(orders: int, open_at_once: int, per_append: int) -> Iterator[Append]:
    draw = random.Random(1)
    ids = CommandIds()
    coming = iter(range(orders))
    versions = dict.fromkeys(itertools.islice(coming, open_at_once), 0)
    live = list(versions)
    while live:
        place = draw.randrange(len(live))
        number = live[place]
        version = versions[number]
        events = [
            NewEvent(domain.write_model.events.encode(_event(number, version + n)))
            for n in range(per_append)
        ]
        yield Append(StreamId("order", str(number)), version, ids.next(), events)
        versions[number] = version + per_append
        if versions[number] == EVENTS_EACH:
            del versions[number]
            following = next(coming, None)
            if following is None:
                live[place] = live[-1]
                live.pop()
            else:
                live[place] = following
                versions[following] = 0


def _event(number: int, version: int) -> Event:
    match version:
        case 0:
            items = (
                Item(f"sku-{number % 1_000}", 1 + number % 3, 1_999),
                Item(f"sku-{number % 777}", 1, 24_900),
            )
            return OrderPlaced(f"user-{number % 50_000}", items)
        case 1:
            return OrderApproved()
        case 2:
            return OrderShipped("DHL" if number % 2 else "Correios")
        case _:
            return OrderDelivered()
