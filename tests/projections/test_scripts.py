"""What the headers of the scripts say is what the program sends."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.listening import Heard, Listening, named, scripts_in
from tests.projections.domain import CountRow, counts
from tests.store.servers import EVERYWHERE
from whence.projections.batch import Change, Entries
from whence.projections.checkpoint import Checkpoints
from whence.projections.lease import Leases
from whence.projections.membership import Membership
from whence.projections.mirror import Mirror
from whence.projections.notes import Note, Request, Skip, Skipped, encode
from whence.projections.requests import leave
from whence.projections.sqlstanding import Notes
from whence.projections.succession import Succession
from whence.store.address import Address
from whence.store.eventstore import EventStore
from whence.store.ids import StreamId

pytestmark = EVERYWHERE

LUA = Path(__file__).parents[2] / "projections" / "lua"
SCRIPTS = scripts_in(LUA)
ROW = counts.rows.encode("a", CountRow(1))
GONE, WAITING = StreamId("x", "7"), StreamId("x", "12")  # both in partition 0 of 8
EVENT = Skipped(WAITING, 3)
NOTE = Note(4, 1, "Sent", "why")
SKIP = Skip(3, "Sent", "why", "because", "ann")
REQUEST = Request("retry", 4, "ann")
_ROWS = ["a", ROW, "b", ROW, "c"]
_ENTRIES = Entries([b"old"], [b"new"])
_INDEXED = [b"old", 0, b"new"]
_VARIES = [*_ROWS, "x/7", b"", "x/12", encode(NOTE), "x/12@3", encode(SKIP), *_INDEXED]
_VARYING = {
    "commit": [*_VARIES, "x/12", encode(REQUEST)],
    "mirror": [b"x/12", encode(NOTE), b"x/12@3", encode(SKIP)],
}


@pytest.fixture
async def heard(
    store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[dict[str, Heard]]:
    wire = Listening(store, SCRIPTS)
    leases = Leases(store, "counts", "me", 60_000, wire)
    checkpoints = Checkpoints(store, "counts", wire)
    (lease,) = await leases.acquire([0])
    rows = {"a": ROW, "b": ROW, "c": None}
    change = Change(rows, 1, 1, "x/1@1#1", {GONE: None, WAITING: NOTE}, {EVENT: SKIP})
    change = change._replace(entries=_ENTRIES, answered={WAITING: encode(REQUEST)})
    assert await checkpoints.commit([(lease, change)]) == [None]
    assert isinstance(await leave(wire, store, counts, WAITING, REQUEST), str)
    assert await checkpoints.note_failure(lease, "a sentence") is None
    notes = Notes([b"x/12", encode(NOTE)], [b"x/12@3", encode(SKIP)])
    assert await Mirror(store, "counts", wire).write([lease], {0: notes}) == [None]
    assert await leases.renew([lease]) == []
    await leases.release([0])
    membership = Membership(store, "counts", "me", 60_000, wire)
    await membership.beat()
    await membership.leave()
    with monkeypatch.context() as patched:

        def listening(_: Address) -> Listening:
            return wire

        patched.setattr(type(store.address), "wire", listening)
        succession = Succession(store, counts)
        assert await succession.begin("person") == (2, False)
        assert await succession.switch(1, 2) == 2
        assert await succession.retire(1)
    yield wire.heard
    await wire.end()


@pytest.mark.parametrize("script", sorted(SCRIPTS))
def test_each_script_gets_the_keys_and_arguments_that_its_header_names(
    heard: dict[str, Heard], script: str
) -> None:
    keys, args = heard[script]
    assert [re.sub(r"^(\{[\w-]+:\d+\}|[\w-]+):|:counts(@2)?$", "", str(k)) for k in keys] == [
        {"checkpoint": "cp", "other": "skipped"}.get(name, name)
        for name in named(SCRIPTS[script], "KEYS")
    ]
    fixed = named(SCRIPTS[script], "ARGV")
    assert args[len(fixed) :] == _VARYING.get(script, [])
    assert len(args) >= len(fixed) > 0


def test_the_keys_of_each_call_lie_in_one_slot(
    heard: dict[str, Heard],
) -> None:
    assert heard.keys() == SCRIPTS.keys()
    for keys, _ in heard.values():
        assert len({str(key).partition("}")[0] for key in keys}) == 1


async def test_a_commit_of_thousands_of_rows_goes_through(store: EventStore) -> None:
    """Lua's unpack has a limit; the script goes around it."""
    wire = store.address.wire()
    (lease,) = await Leases(store, "counts", "me", 60_000, wire).acquire([0])
    checkpoints = Checkpoints(store, "counts", wire)
    rows: dict[str, bytes | None] = {str(n): ROW for n in range(20_000)}
    assert await checkpoints.commit([(lease, Change(rows, 1, 1, "x/1@1#1"))]) == [None]
    view = store.keys.view(0, "counts")
    assert await store.ask("HLEN", view) == 20_000
    rows = {str(n): None for n in range(19_999)}
    assert await checkpoints.commit([(lease, Change(rows, 1, 2, "x/1@2#2"))]) == [None]
    assert await store.ask("HGETALL", view) == [b"19999", ROW]
    await wire.close()


async def test_a_commit_that_cannot_write_its_rows_leaves_the_checkpoint(store: EventStore) -> None:
    wire = store.address.wire()
    (lease,) = await Leases(store, "counts", "me", 60_000, wire).acquire([0])
    await store.ask("SET", store.keys.view(0, "counts"), "not a view")
    (error,) = await Checkpoints(store, "counts", wire).commit(
        [(lease, Change({"a": ROW}, 1, 1, "x/1@1#1"))]
    )
    assert "WRONGTYPE" in str(error)
    assert lease.position == 0
    assert await store.ask("HGET", store.keys.checkpoint(0, "counts"), "position") == b"0"
    await wire.close()
