"""What changes the generations of a view: one begins, goes live, is given up."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal, NamedTuple

import anyio

from whence.projections.compared import forget_compared
from whence.projections.generations import Generations, generations
from whence.projections.lease import Lease
from whence.projections.ledger import Ledger, ledger_of
from whence.projections.projection import Projector
from whence.projections.wishes import Wish, encode_wish
from whence.store.address import CALL_TIMEOUT
from whence.store.errors import (
    CorruptStore,
    NoGeneration,
    RevisionMismatch,
    StoreUnavailable,
)
from whence.store.eventstore import EventStore
from whence.store.script import Script, ScriptCall, answers_of
from whence.store.wire import Arg, ConnectionLost, Reply

_LUA = Path(__file__).parent / "lua"
CLAIM = Script.read(_LUA / "claim.lua")
BEGIN = Script.read(_LUA / "begin.lua")
SWITCH = Script.read(_LUA / "switch.lua")
RETIRE = Script.read(_LUA / "retire.lua")

# Who lets readers see a generation that is being built, once it has caught up.
Switcher = Literal["worker", "person"]

# For so long nobody can take a partition of a generation that was dropped.
_DROPPED_MS = 3_600_000
# For so long whoever wants to begin a generation waits for somebody who clears the keys of one.
_CLEARING_MS = 10_000
_LOOK_EVERY = 0.05


class Fence(NamedTuple):
    """What has to hold for a switch, or readers would be taken back to before what they have seen.

    ``held`` are the leases on the live generation: none of them was lost; ``until_ms`` is when they
    end, by the clock of the server that has the generations.
    """

    held: Sequence[Lease] = ()
    until_ms: int = 0


_NO_FENCE = Fence()


class Succession:
    """What changes the generations of one view.

    Every method raises StoreUnavailable or ServerRefused when it has no answer. Each may be
    repeated.
    """

    def __init__(self, store: EventStore, projection: Projector) -> None:
        self._store = store
        self._projection = projection
        self._key = store.keys.generations(projection.base)

    async def look(self) -> Generations:
        return await generations(self._store, self._projection)

    async def claim(self) -> Generations:
        """The generations; of a new view the first one is this code's from now on.

        A view whose generations nobody has written down yet was made by the first version.
        """
        found = await self.look()
        if found.revisions:
            return found
        names = [
            self._store.keys.checkpoint(number, self._projection.name)
            for number in range(self._store.keys.partitions)
        ]
        begun = any(await self._store.ask_many([("HLEN", name) for name in names]))
        await self._run(CLAIM, ["1" if begun else self._projection.revision])
        return await self.look()

    async def want(self, wish: Wish) -> None:
        """Leave a wish for the workers, in place of one that they have not granted yet.

        Raises:
            NoGeneration: the generation that is meant is not there any more.
            RevisionMismatch: it is to go live, and another version has made it.
        """
        found, name = await self.claim(), self._projection.base
        if found.meant(wish.action) != wish.number:
            raise NoGeneration(name, f"has changed meanwhile: there is nothing to {wish.action}")
        revision = found.revisions.get(wish.number, "")
        if wish.action in {"switch", "rollback"} and revision != self._projection.revision:
            raise RevisionMismatch(
                f"{name}, generation {wish.number},",
                revision,
                self._projection.revision,
                "only workers of that code can let readers see it",
            )
        if wish.action == "compare":
            await forget_compared(self._store, self._projection)
        await self._store.ask("HSET", self._key, "wish", encode_wish(wish))

    async def take_back(self) -> None:
        """Want nothing of the workers any more; what they have begun stays."""
        await self._store.ask("HDEL", self._key, "wish")

    async def begin(
        self, switcher: Switcher, *, forget_skips: bool = False, after: int | None = None
    ) -> tuple[int, bool]:
        """The number of the generation that is built from now on, and whether it was begun already.

        What a person has skipped in the live one is skipped in a new one, unless ``forget_skips``.
        With ``after``, none is begun but the one after that.

        Raises:
            RevisionMismatch: the one that is being built is another version's.
        """
        number = 0
        while True:
            found = await self.claim()
            if after is not None and found.newest != after:
                return found.newest, True
            args: list[Arg] = [number, self._projection.revision, switcher, _CLEARING_MS]
            match await self._run(BEGIN, args):
                case [b"begun"]:
                    return number, False
                case [b"given", bytes(text)]:
                    number = int(text)
                    await self._clear(number, found.live, forget_skips=forget_skips)
                case [b"clearing", _]:
                    await anyio.sleep(_LOOK_EVERY)
                case [b"taken", _]:
                    number = 0
                case [b"building", bytes(building)]:
                    return int(building), True
                case [b"other", bytes(building), bytes(revision)]:
                    raise RevisionMismatch(
                        f"{self._projection.name}@{building.decode()}, which is being built,",
                        revision.decode(),
                        self._projection.revision,
                        f"let that code finish it, or run `whence projections abandon "
                        f"{self._projection.name}`",
                    )
                case answer:
                    raise CorruptStore(f"begin.lua answered {answer!r}")

    async def _clear(self, number: int, live: int, *, forget_skips: bool) -> None:
        """Make sure that there is nothing of a generation that is about to begin.

        Nothing is, unless somebody has deleted the key that counts generations.
        """
        async with self._ledger(number) as ledger:
            await ledger.clear(self._name(live), keep_skips=not forget_skips)

    async def switch(self, from_: int, to: int, fence: Fence = _NO_FENCE) -> int:
        """The generation that is live now: ``to``, unless another one than ``from_`` was.

        It stays ``from_`` where the fence does not hold any more. Tables are shown first: whoever
        finds it done only by half, does it again.

        Raises:
            NoGeneration: ``to`` was dropped meanwhile.
        """
        async with self._ledger(to) as ledger:
            if not await ledger.show(self._name(from_), fence.held):
                return from_
        match await self._run(SWITCH, [from_, to, fence.until_ms]):
            case [b"switched"]:
                return to
            case [b"late"]:
                await self._show(from_)
                return from_
            case [b"other", bytes(live)]:
                await self._show(int(live))
                return int(live)
            case [b"gone"]:
                await self._show(from_)
                raise NoGeneration(
                    self._projection.name, f"has no generation {to} any more: it was dropped"
                )
            case answer:
                raise CorruptStore(f"switch.lua answered {answer!r}")

    async def retire(self, number: int) -> bool:
        """Drop a generation that is not live; False when somebody else has done so."""
        answer = await self._run(RETIRE, [number])
        await self.sweep()
        return bool(answer == [b"retired"])

    async def sweep(self) -> None:
        """Delete the keys of all generations that were given up.

        In a Cluster it waits for as long as a call may take: the rows and which generation is live
        come from different servers there, so a reader who was told of it may still be reading it.
        """
        found = await self.look()
        if found.dropping and self._store.address.spread:
            await anyio.sleep(CALL_TIMEOUT)
        for number in found.dropping:
            async with self._ledger(number) as ledger:
                await ledger.drop(self._name(found.live), _DROPPED_MS)
            await self._store.ask("HDEL", self._key, f"dropping:{number}")

    def _name(self, number: int) -> str:
        return self._projection.generation(number).name

    async def _show(self, number: int) -> None:
        async with self._ledger(number) as ledger:
            await ledger.show()

    @asynccontextmanager
    async def _ledger(self, number: int) -> AsyncGenerator[Ledger]:
        """Where a generation is kept."""
        wire = self._store.address.wire()
        ledger = ledger_of(self._store, self._projection.generation(number), wire)
        try:
            yield ledger
        except ConnectionLost as error:
            raise StoreUnavailable(self._store.address.shown, str(error)) from error
        finally:
            await ledger.close()
            await wire.close()

    async def _run(self, script: Script, args: Sequence[Arg]) -> Reply:
        wire = self._store.address.wire()
        try:
            call = ScriptCall(script, [self._key], args)
            (answer,) = await answers_of(wire, self._store.address.shown, [call])
        except ConnectionLost as error:
            raise StoreUnavailable(self._store.address.shown, str(error)) from error
        else:
            return answer
        finally:
            await wire.close()
