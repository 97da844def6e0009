"""Parked events on the page of the projections, and what a person may have done about them."""

from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import parse_qs

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from whence.domain import Domain
from whence.projections.parked import ParkedSequence, parked_sequences
from whence.projections.projection import Projector
from whence.projections.requests import MAX_REASON, retry, skip
from whence.store.errors import InvalidInput, NotParked
from whence.store.eventstore import EventStore
from whence.store.ids import StreamId
from whence.web.access import who_asks
from whence.web.explorer.pages import root

# Seconds that a page waits for the worker that does it.
_WITHIN = 10.0
_LONGEST_FORM = 10_000
_OUTCOMES = {
    "applied": "It is in the view again.",
    "parked": "It failed again, for the reason that stands there.",
    "open": "No worker has come to it yet; it stays asked.",
    "absent": "It was not parked any more.",
}


class Parked(NamedTuple):
    """What is parked of one projection."""

    projection: str
    sequences: Sequence[ParkedSequence]


class ParkedEvents:
    """Lists them, and takes the two forms. The guard lets only the scope ``admin`` send one."""

    def __init__(self, domain: Domain, store: EventStore) -> None:
        self._model = domain.read_model
        self._store = store

    async def found(self) -> list[Parked]:
        """Those projections of which something is parked."""
        found = [
            Parked(projection.name, await parked_sequences(self._store, projection))
            for projection in self._model.projections.values()
        ]
        return [one for one in found if one.sequences]

    async def act(self, request: Request, name: str, action: str) -> Response:
        """POST /explorer/projections/order-list/retry, or skip; then back to the page.

        Raises:
            UnknownProjection, InvalidInput, InvalidId: nothing was asked of anybody.
            StoreUnavailable, ServerRefused, CorruptStore
        """
        projection = self._model.projector(name)
        form = await _form(request)
        stream = StreamId.checked(form.get("type", ""), form.get("id", ""))
        try:
            outcome = await self._ask(projection, stream, action, form, who_asks(request.scope))
        except NotParked:
            outcome = "absent"
        address = f"{root(request)}/explorer/projections?outcome={outcome}"
        return RedirectResponse(address, 303)

    async def _ask(
        self, projection: Projector, stream: StreamId, action: str, form: dict[str, str], by: str
    ) -> str:
        if action == "retry":
            answer = await retry(self._store, projection, stream, by=by, timeout_s=_WITHIN)
        else:
            reason = form.get("reason", "")
            answer = await skip(self._store, projection, stream, reason, by=by, timeout_s=_WITHIN)
        return answer.outcome


def said(outcome: str | None) -> str:
    """The sentence for what a form has led to; empty without one. Raises InvalidInput."""
    if outcome is None:
        return ""
    if outcome not in _OUTCOMES:
        raise InvalidInput("outcome is one of " + ", ".join(_OUTCOMES), field="outcome")
    return _OUTCOMES[outcome]


async def _form(request: Request) -> dict[str, str]:
    """The fields of a form. Raises HTTPException: 413, no form of ours is so long."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _LONGEST_FORM:
            raise HTTPException(413, f"the reason may have {MAX_REASON} characters")
    fields = parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True)
    return {name: values[0] for name, values in fields.items()}
