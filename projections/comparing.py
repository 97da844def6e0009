"""A worker compares a generation that has caught up with the live one, as a person wants it."""

import logging

from whence.projections.catchup import catch_up
from whence.projections.compared import Compared, keep_compared
from whence.projections.generations import Generations
from whence.projections.projection import Projector
from whence.projections.settings import WorkerSettings
from whence.projections.verify import compare
from whence.store.errors import LeaseLost, ServerRefused, StoreUnavailable, WhenceError
from whence.store.eventstore import EventStore

log = logging.getLogger("whence.projections")

# Characters of what is in the way.
_LONGEST = 500
# After these it is tried again; others are what a person has to know.
_AGAIN = (LeaseLost, ServerRefused, StoreUnavailable)


class Comparing:
    """The comparisons of one view that this worker makes, one at a time.

    Args:
        owner: names the worker.
    """

    def __init__(
        self, store: EventStore, projection: Projector, owner: str, settings: WorkerSettings
    ) -> None:
        self._store = store
        self._projection = projection
        self._owner = owner
        self._settings = settings
        self._runs = False

    def wanted(self, found: Generations) -> bool:
        """Whether a comparison is wanted that this code can make, and that is not under way."""
        wish = found.wish
        return (
            not self._runs
            and wish is not None
            and wish.action == "compare"
            and found.revisions.get(wish.number) == self._projection.revision
        )

    async def is_ours(self, found: Generations) -> bool:
        """Whether it is this worker's to make: of those that live, the first one makes it.

        Two may think so for a moment. One of them loses its leases then, and tries it again if it
        still is the first.
        """
        new = self._new(found)
        workers: list[bytes] = await self._store.ask("HKEYS", self._store.keys.workers(new.name))
        return min(workers, default=b"") == self._owner.encode()

    async def run(self, found: Generations) -> None:
        """Compare, and keep what was found; errors are logged or kept."""
        new = self._new(found)
        self._runs = True
        try:
            compared = await self._compare(found, new)
            await keep_compared(self._store, self._projection, compared)
        except WhenceError as error:
            log.warning("%s is not compared yet: %s", new.name, error)
        finally:
            self._runs = False

    async def _compare(self, found: Generations, new: Projector) -> Compared:
        number = new.number or 1
        try:
            await catch_up(self._store, new, None)
            comparison = await compare(
                self._store,
                self._projection.generation(found.live),
                new,
                same_code=found.live_revision == self._projection.revision,
                settings=self._settings,
            )
        except _AGAIN:
            raise
        except WhenceError as error:
            return Compared(number, failure=_text(error))
        except Exception as error:  # a row may be anything, and the worker has other things to do
            log.exception("%s cannot be compared", new.name)
            return Compared(number, failure=f"{type(error).__name__}: {_text(error)}")
        return Compared(number, comparison)

    def _new(self, found: Generations) -> Projector:
        assert found.wish is not None, "it was looked whether there is one"
        return self._projection.generation(found.wish.number)


def _text(error: Exception) -> str:
    """What it says, as text for JSON: an error may quote half a surrogate pair."""
    return str(error)[:_LONGEST].encode(errors="backslashreplace").decode()
