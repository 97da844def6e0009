"""Generations on the page of the projections: one is made anew, goes live, is given up."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from whence.domain import Domain
from whence.projections.compared import Compared
from whence.projections.generations import Generations
from whence.projections.projection import Projector
from whence.projections.status import PartitionStatus, owner_counts
from whence.projections.succession import Succession
from whence.projections.wishes import Action, Then, Wish
from whence.store.errors import InvalidInput, NoGeneration, RevisionMismatch
from whence.store.eventstore import EventStore
from whence.web.access import who_asks
from whence.web.explorer.forms import back, form_of
from whence.web.parameters import number

OUTCOMES = {
    "rebuild": "The rebuild is asked for; a worker begins it within seconds.",
    "compare": "A worker compares the two as soon as the new one has caught up.",
    "switch": "Readers see the new generation as soon as it has caught up.",
    "rollback": "Readers see the previous generation once a worker has brought it up to date.",
    "abandon": "A worker drops what was built; readers see what they saw before.",
    "drop": "A worker drops the previous generation.",
    "withdrawn": "Nothing is asked for any more.",
    "changed": "That was done already, or somebody else has come first; nothing was asked for.",
    "other-code": "Another version of the projection has made that generation, and only workers of "
    "that code can let readers see it; nothing was asked for.",
}
_AFTER: tuple[Then, ...] = ("switch", "compare", "wait")


class Making(NamedTuple):
    """A generation on its way to readers: ``done`` of ``total`` events are in it.

    ``rate`` is in events per second, None before the second look; ``left`` are seconds, None while
    nobody can tell. ``compared`` is what a comparison with the live one has found.
    """

    number: int
    done: int
    total: int
    rate: float | None
    left: float | None
    parked: int
    owners: Mapping[str, int]
    failures: Sequence[PartitionStatus]
    compared: Compared | None

    @classmethod
    def of(
        cls,
        generation: Projector,
        found: Sequence[PartitionStatus],
        rate: float | None,
        compared: Compared | None,
    ) -> "Making":
        to_go = sum(one.lag for one in found)
        done = sum(min(one.position, one.head) for one in found)
        return cls(
            generation.number or 1,
            done,
            done + to_go,
            rate,
            to_go / rate if rate else (None if to_go else 0.0),
            sum(one.parked for one in found),
            owner_counts(found),
            [one for one in found if one.failure],
            compared,
        )


def on_its_way(projection: Projector, found: Generations) -> Projector | None:
    """The generation that is being built, or else the one that is being brought back."""
    if found.building is not None:
        return projection.generation(found.building)
    if found.wish is not None and found.wish.action == "rollback":
        return projection.generation(found.wish.number)
    return None


class GenerationForms:
    """Takes what people want done; workers do it, so nothing hangs on this process.

    The guard lets only the scope ``admin`` send a form.
    """

    def __init__(self, domain: Domain, store: EventStore) -> None:
        self._model = domain.read_model
        self._store = store

    async def act(self, request: Request, name: str, action: Action) -> Response:
        """POST /explorer/projections/order-list/rebuild and the like; then back to the page.

        Raises:
            UnknownProjection, InvalidInput: nothing was asked of anybody.
            StoreUnavailable, ServerRefused, CorruptStore
        """
        projection = self._model.projector(name)
        wish = _wish(action, await form_of(request), who_asks(request.scope), projection)
        try:
            await Succession(self._store, projection).want(wish)
        except NoGeneration:
            return back(request, "changed")
        except RevisionMismatch:
            return back(request, "other-code")
        return back(request, action)

    async def withdraw(self, request: Request, name: str) -> Response:
        """POST /explorer/projections/order-list/withdraw; raises as above."""
        await Succession(self._store, self._model.projector(name)).take_back()
        return back(request, "withdrawn")


def _wish(action: Action, form: dict[str, str], by: str, projection: Projector) -> Wish:
    meant = number(form, "generation", least=1)
    if meant is None:
        raise InvalidInput("say which generation is meant", field="generation")
    then = form.get("then", "switch")
    if then not in _AFTER:
        raise InvalidInput("then is one of " + ", ".join(_AFTER), field="then")
    return Wish(action, meant, by, projection.revision, then)
