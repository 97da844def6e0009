"""A server that loads its log answers each command with an error that says: ask again."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from tests.projections.domain import counts
from whence.projections.checkpoint import Checkpoints
from whence.projections.group import Group
from whence.projections.lease import Lease, Leases
from whence.projections.membership import Membership
from whence.projections.notes import Request
from whence.projections.requests import leave
from whence.projections.succession import Succession
from whence.reactions.checkpoint import Checkpoints as ReactionCheckpoints
from whence.store.address import Address
from whence.store.errors import StoreUnavailable
from whence.store.eventstore import EventStore
from whence.store.ids import StreamId
from whence.store.wire import Command, Reply, ServerError

LEASE = Lease(0, 1, 1, "x/1@1#1", "log", ends_at=0.0)
REQUEST = Request("retry", 1, "ann")


class LoadingWire:
    knows_shebang = True

    async def call(self, commands: Sequence[Command]) -> list[Reply]:
        return [ServerError("LOADING the server is loading the dataset") for _ in commands]

    async def each(self, commands: Sequence[Command]) -> dict[str, list[Reply]]:
        return {"here": await self.call(commands)}

    async def close(self) -> None:
        """Nothing to do."""


WIRE = LoadingWire()
ASKED: dict[str, Callable[[EventStore], Awaitable[Any]]] = {
    "acquire": lambda store: Leases(store, "counts", "me", 1_000, WIRE).acquire([0]),
    "renew": lambda store: Leases(store, "counts", "me", 1_000, WIRE).renew([LEASE]),
    "release": lambda store: Leases(store, "counts", "me", 1_000, WIRE).release([0]),
    "beat": lambda store: Membership(store, "counts", "me", 1_000, WIRE).beat(),
    "muster": lambda store: Membership(store, "counts", "me", 1_000, WIRE).muster([0]),
    "drop": lambda store: Checkpoints(store, "counts", WIRE).drop("counts", 1_000),
    "clear": lambda store: Checkpoints(store, "counts@2", WIRE).clear("counts", keep_skips=True),
    "leave": lambda store: leave(WIRE, store, counts, StreamId("x", "1"), REQUEST),
    "begin": lambda store: Succession(store, counts).begin("person"),
    "switch": lambda store: Succession(store, counts).switch(1, 2),
    "read": lambda store: Group(store, "counts", 100).read([0], 1),
    "react": lambda store: ReactionCheckpoints(store, "clerk", WIRE).due(0),
}


@pytest.fixture
def loading(store: EventStore, monkeypatch: pytest.MonkeyPatch) -> EventStore:
    def wire(*_: object, **__: object) -> LoadingWire:
        return WIRE

    monkeypatch.setattr(Address, "wire", wire)
    return store


@pytest.mark.parametrize("asked", ASKED)
async def test_is_unavailable_and_does_not_refuse(loading: EventStore, asked: str) -> None:
    with pytest.raises(StoreUnavailable, match="LOADING"):
        await ASKED[asked](loading)


async def test_is_no_refusal_of_a_partition_either(loading: EventStore) -> None:
    (refusal,) = (await Group(loading, "counts", 100).set_back([LEASE])).values()
    assert isinstance(refusal, StoreUnavailable)
    failure = await Checkpoints(loading, "counts", WIRE).note_failure(LEASE, "a sentence")
    assert isinstance(failure, StoreUnavailable)
