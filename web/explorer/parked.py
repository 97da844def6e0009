"""Parked events on the page of the projections, and what a person may have done about them."""

from collections.abc import Sequence
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from whence.domain import Domain
from whence.projections.live import Named
from whence.projections.parked import ParkedSequence, parked_sequences
from whence.projections.requests import retry, skip
from whence.store.errors import NotParked
from whence.store.eventstore import EventStore
from whence.store.ids import StreamId
from whence.web.access import who_asks
from whence.web.explorer.forms import back, form_of

# Seconds that a page waits for the worker that does it.
_WITHIN = 10.0
OUTCOMES = {
    "applied": "It is in the view again.",
    "parked": "It failed again, for the reason that stands there.",
    "open": "No worker has come to it yet; it stays asked.",
    "absent": "It was not parked any more.",
}


class Parked(NamedTuple):
    """What is parked of one projection or reaction."""

    projection: str
    sequences: Sequence[ParkedSequence]


class ParkedEvents:
    """Lists them, and takes the two forms. The guard lets only the scope ``admin`` send one."""

    def __init__(self, domain: Domain, store: EventStore) -> None:
        self._model = domain.read_model
        self._reactions = domain.reactions.reactions
        self._store = store

    async def found(self) -> list[Parked]:
        """Those projections and reactions of which something is parked."""
        followers: list[Named] = [*self._model.projections.values(), *self._reactions.values()]
        found = [Parked(one.name, await parked_sequences(self._store, one)) for one in followers]
        return [one for one in found if one.sequences]

    async def act(self, request: Request, name: str, action: str) -> Response:
        """POST /explorer/projections/order-list/retry, or skip; then back to the page.

        Raises:
            UnknownProjection, InvalidInput, InvalidId: nothing was asked of anybody.
            StoreUnavailable, ServerRefused, CorruptStore
        """
        projection = self._reactions.get(name) or self._model.projector(name)
        form = await form_of(request)
        stream = StreamId.checked(form.get("type", ""), form.get("id", ""))
        try:
            outcome = await self._ask(projection, stream, action, form, who_asks(request.scope))
        except NotParked:
            outcome = "absent"
        return back(request, outcome)

    async def _ask(
        self, projection: Named, stream: StreamId, action: str, form: dict[str, str], by: str
    ) -> str:
        if action == "retry":
            answer = await retry(self._store, projection, stream, by=by, timeout_s=_WITHIN)
        else:
            reason = form.get("reason", "")
            answer = await skip(self._store, projection, stream, reason, by=by, timeout_s=_WITHIN)
        return answer.outcome
