"""What the headers of the scripts say is what a reaction sends."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from tests.listening import Heard, Listening, named, scripts_in
from tests.reactions.domain import TicketOpened
from tests.store.servers import EVERYWHERE
from whence.projections.batch import Change
from whence.projections.lease import Leases
from whence.projections.notes import Note, Skip, Skipped, encode
from whence.reactions.checkpoint import Checkpoints
from whence.reactions.timer import Timer, TimerId, encode_timer
from whence.store.eventstore import EventStore
from whence.store.ids import StreamId

pytestmark = EVERYWHERE

SCRIPTS = scripts_in(Path(__file__).parents[2] / "src" / "whence" / "reactions" / "lua")
NOTE = Note(4, 1, TicketOpened.__name__, "why")
SKIP = Skip(3, TicketOpened.__name__, "why", "because", "ann")
TIMER = Timer(1_000, "ticket", "7", "close", msgspec.Raw(b"{}"), "c", "ticket/7@1")
# Of partition 0 of 8.
GONE, WAITING = StreamId("x", "7"), StreamId("x", "12")
SET, CANCELLED = TimerId(WAITING, "limit"), TimerId(WAITING, "other")
_VARYING = {
    "react": [
        *("x/12/limit", 1_000, encode_timer(TIMER), "x/12/other"),
        *("x/7", b"", "x/12", encode(NOTE), "x/12@3", encode(SKIP), "x/12", b"asked"),
    ],
    "fired": ["x/12/limit", encode_timer(TIMER)],
}


@pytest.fixture
async def heard(store: EventStore) -> AsyncIterator[dict[str, Heard]]:
    wire = Listening(store, SCRIPTS)
    checkpoints = Checkpoints(store, "clerk", wire)
    await checkpoints.begin_now()
    (lease,) = await Leases(store, "clerk", "me", 60_000, wire).acquire([0])
    notes = {GONE: None, WAITING: NOTE}
    change = Change({}, 1, 1, "x/1@1#1", notes, {Skipped(WAITING, 3): SKIP})
    change = change._replace(answered={WAITING: b"asked"})
    await checkpoints.commit(lease, change, {SET: TIMER, CANCELLED: None})
    assert list((await checkpoints.due(0)).timers) == [SET]
    await checkpoints.fired(lease, {SET: encode_timer(TIMER)})
    assert (await checkpoints.due(0)).timers == {}
    yield wire.heard
    await wire.end()


@pytest.mark.parametrize("script", sorted(SCRIPTS))
def test_each_script_gets_the_keys_and_arguments_that_its_header_names(
    heard: dict[str, Heard], script: str
) -> None:
    assert heard.keys() == SCRIPTS.keys()
    keys, args = heard[script]
    names = [re.sub(r"^\{[\w-]+:\d+\}:|:clerk$", "", str(key)) for key in keys]
    wanted = named(SCRIPTS[script], "KEYS")
    assert names == [{"checkpoint": "cp"}.get(name, name) for name in wanted]
    fixed = named(SCRIPTS[script], "ARGV")
    assert args[len(fixed) :] == _VARYING.get(script, [])
    assert len(args) >= len(fixed) > 0
    assert len({str(key).partition("}")[0] for key in keys}) == 1
