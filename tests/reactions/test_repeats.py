"""What a reaction writes and that reaches the server a second time, when the worker has gone on."""

import msgspec

from tests.listening import Echo
from whence.projections.batch import Change
from whence.projections.lease import Leases
from whence.projections.notes import Note
from whence.reactions.checkpoint import Checkpoints
from whence.reactions.timer import Timer, TimerId, encode_timer
from whence.store.eventstore import EventStore
from whence.store.ids import StreamId
from whence.store.wire import Reply

STREAM = StreamId("x", "12")  # in partition 0 of 8
LIMIT = TimerId(STREAM, "limit")
TIMER = Timer(1_000, "ticket", "12", "close", msgspec.Raw(b"{}"), "c", "x/12@1")


async def kept(store: EventStore) -> list[Reply]:
    """What the server has of the partition."""
    keys = store.keys
    kinds = (keys.checkpoint, keys.parked, keys.asked, keys.timers)
    return await store.ask_many([("HGETALL", kind(0, "clerk")) for kind in kinds])


async def test_sets_no_timer_again_that_has_fired_and_parks_nothing(store: EventStore) -> None:
    echo = Echo(store.address.wire())
    checkpoints = Checkpoints(store, "clerk", echo)
    await checkpoints.begin_now()
    (lease,) = await Leases(store, "clerk", "one", 60_000, echo).acquire([0])
    waits = {STREAM: Note(1, 1, "TicketOpened", "why", attempts=0)}
    await checkpoints.commit(lease, Change({}, 1, 1, "x/12@1#1", waits), {})
    nothing = Change({}, 0, 1, "x/12@1#1")
    await checkpoints.commit(lease, nothing._replace(notes=waits), {LIMIT: TIMER})
    await checkpoints.commit(lease, nothing._replace(notes={STREAM: None}), {})
    await checkpoints.fired(lease, {LIMIT: encode_timer(TIMER)})

    before = await kept(store)
    assert [b"committed"] not in await echo.again()
    assert await kept(store) == before
    await echo.close()


async def test_takes_no_reaction_back_to_where_it_was_restarted(store: EventStore) -> None:
    """What waits since then would be forgotten."""
    echo = Echo(store.address.wire())
    checkpoints = Checkpoints(store, "clerk", echo)
    leases = Leases(store, "clerk", "one", 60_000, echo)
    await leases.acquire([0])
    await checkpoints.restart()
    (lease,) = await leases.acquire([0])
    waits = {STREAM: Note(1, 1, "TicketOpened", "why")}
    await checkpoints.commit(lease, Change({}, 1, 1, "x/12@1#1", waits), {})

    before = await kept(store)
    answers = await echo.again()
    assert len(answers) == store.keys.partitions + 1
    assert {answer[0] for answer in answers} == {b"fenced"}
    assert await kept(store) == before
    await echo.close()
