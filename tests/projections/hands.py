"""A worker whose every step is taken by the test, in the partition of one parcel."""

from typing import Literal

from tests.listening import Echo
from tests.projections.domain import Tally, only, parcel
from whence.projections.advance import Advance
from whence.projections.lease import Lease, Leases
from whence.projections.ledger import Ledger, ledger_of
from whence.projections.notes import Request
from whence.projections.projection import Projector
from whence.projections.requests import leave
from whence.projections.retries import Retries
from whence.projections.settings import WorkerSettings
from whence.store.eventstore import EventStore
from whence.store.wire import Reply

STREAM = parcel(1)
tally = only(Tally).projection("tally")
# An event at a time, and nothing is tried again by itself.
SETTINGS = WorkerSettings(batch=1, attempts=1)


class Hands:
    """The steps of a worker, one by one, in the partition of the parcel."""

    def __init__(self, store: EventStore, projection: Projector) -> None:
        self.echo = Echo(store.address.wire())
        self.ledger: Ledger = ledger_of(store, projection, self.echo)
        self.leases: list[Lease] = []
        self.retries = Retries(store, projection, self.ledger, SETTINGS)
        self._store = store
        self._projection = projection
        self._name = projection.name

    async def follow(self) -> None:
        """Take the partition, and apply what its feed holds."""
        leases = Leases(self._store, self._name, "one", 60_000, self.echo)
        self.leases = await leases.acquire([self._store.keys.partition(STREAM)])
        assert await self.ledger.take(self.leases) == {}
        (lease,) = self.leases
        advance = Advance(self._store, self._projection, self.ledger, SETTINGS)
        while pointers := await self._store.pointers(lease.partition, after=lease.position):
            assert (await advance.apply([(lease, pointers)]))[1] == {}

    async def ask(self, action: Literal["retry", "skip"], version: int, by: str = "ann") -> None:
        request = Request(action, version, by)
        await leave(self.echo, self._store, self._projection, STREAM, request)

    async def tend(self) -> None:
        """Do what was asked for, to its end."""
        await self.look()
        await self.work()

    async def look(self) -> None:
        """Find out what was asked for."""
        await self.retries.look(self.leases)
        assert self.retries.running

    async def work(self) -> None:
        """Do what was found."""
        while self.retries.running:
            assert await self.retries.step() == {}

    async def nothing_changes_when_it_is_repeated(self) -> None:
        before = await self.kept()
        assert {reply[0] for reply in await self.echo.again()} == {b"fenced"}
        assert await self.kept() == before

    async def kept(self, name: str = "") -> list[Reply]:
        """What the server has of the partition; of this generation, or another one."""
        keys, number, name = self._store.keys, self.leases[0].partition, name or self._name
        kinds = (keys.checkpoint, keys.view, keys.parked, keys.skipped, keys.asked)
        return await self._store.ask_many([("HGETALL", kind(number, name)) for kind in kinds])

    async def parked(self) -> Reply:
        return (await self.kept())[2]

    async def asked(self) -> Reply:
        return (await self.kept())[4]

    async def close(self) -> None:
        await self.ledger.close()
        await self.echo.close()
