"""GET /views/order-list?status=cancelled: the rows of the read models."""

from collections.abc import Sequence
from typing import Any

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from whence.projections.freshness import Freshness, LogPosition
from whence.projections.projection import Projection
from whence.projections.query import find, get
from whence.projections.readmodel import ReadModel
from whence.store.errors import InvalidDomain, InvalidInput, RowNotFound
from whence.store.eventstore import EventStore
from whence.web.parameters import log_positions, number, parameters
from whence.web.replies import ViewReply, next_page, reply

DEFAULT_ROWS = 100
MAX_ROWS = 1_000

# What a row's JSON and a query say beside the row's own fields.
_KEY = "key"
_PAGING = ("limit", "after")
_WAIT_FOR = "wait_for"
_OURS = (*_PAGING, _WAIT_FOR)
# Of views that have indexes.
_ORDER = "order"
# The header that says the same as ?wait_for; its name is that of the problem's field as well.
_WAIT_FOR_HEADER = "Whence-Wait-For"


class ViewsBranch:
    """``/views``, a view below it, and below that a row by its key.

    Args:
        wait_within: seconds that a view has to come to the position that a reader waits for.

    Raises:
        InvalidDomain: a row has a field whose name these addresses use themselves.
    """

    def __init__(self, model: ReadModel, store: EventStore, *, wait_within: float) -> None:
        self._model = model
        self._store = store
        self._freshness = Freshness(store)
        self._wait_within = wait_within
        for projection in model.in_redis.values():
            _check_fields(projection)

    async def __call__(self, request: Request, path: Sequence[str]) -> Response:
        if request.method not in {"GET", "HEAD"}:
            raise HTTPException(405, headers={"Allow": "GET, HEAD"})
        match path:
            case []:
                return self._list(request)
            case [name]:
                return await self._rows(request, self._model.projection(name))
            case [name, key]:
                return await self._row(request, self._model.projection(name), key)
            case _:
                raise HTTPException(404)

    def _list(self, request: Request) -> Response:
        parameters(request, ())
        views = [
            {
                "name": name,
                "fields": list(projection.rows.fields),
                "indexes": list(projection.indexes.fields),
            }
            for name, projection in self._model.in_redis.items()
        ]
        return reply({"views": views})

    async def _rows(self, request: Request, projection: Projection[Any]) -> Response:
        ours = _names(projection)
        given = parameters(request, (*projection.rows.fields, *ours))
        limit = number(given, "limit", least=1, most=MAX_ROWS) or DEFAULT_ROWS
        where = {name: value for name, value in given.items() if name not in ours}
        await self._wait(request, given, projection)
        page = await find(
            self._store,
            projection,
            where=where,
            order=given.get(_ORDER),
            limit=limit,
            after=given.get("after"),
        )
        rows = [_with_key(key, row) for key, row in page.rows]
        document = ViewReply(projection.name, page.total, rows, page.next)
        return reply(document, headers=next_page(request, given, page.next))

    async def _row(self, request: Request, projection: Projection[Any], key: str) -> Response:
        await self._wait(request, parameters(request, (_WAIT_FOR,)), projection)
        row = await get(self._store, projection, key)
        if row is None:
            raise RowNotFound(projection.name, key)
        return reply(_with_key(key, row))

    async def _wait(
        self, request: Request, given: dict[str, str], projection: Projection[Any]
    ) -> None:
        """Until the view has what the reader has written.

        Raises:
            InvalidInput: this is no position of the log; ``field`` names the parameter or header.
            ViewBehind, EventParked
        """
        asked = {_WAIT_FOR: given.get(_WAIT_FOR)}
        asked[_WAIT_FOR_HEADER] = request.headers.get(_WAIT_FOR_HEADER)
        positions: list[LogPosition] = []
        for name, text in asked.items():
            if text is not None:
                found = log_positions(text, name, self._store.keys.partitions)
                await self._check_stored(found, name)
                positions += found
        if positions:
            await self._freshness.caught_up(projection, *positions, timeout_s=self._wait_within)

    async def _check_stored(self, positions: Sequence[LogPosition], field: str) -> None:
        """Raises InvalidInput: a reader would wait in vain for what nobody has written."""
        heads = await self._store.feed_heads([at.partition for at in positions])
        for at, head in zip(positions, heads, strict=True):
            if at.position > head:
                raise InvalidInput(
                    f"no event is at {at.partition}:{at.position}: that partition ends at {head}",
                    field=field,
                )


def _with_key(key: str, row: msgspec.Struct) -> dict[str, Any]:
    return {_KEY: key, **msgspec.to_builtins(row)}


def _names(projection: Projection[Any]) -> tuple[str, ...]:
    """What a query says beside the fields of rows."""
    return (*_OURS, _ORDER) if projection.indexes.fields else _OURS


def _check_fields(projection: Projection[Any]) -> None:
    taken = {_KEY, *_names(projection)} & set(projection.rows.fields)
    if taken:
        raise InvalidDomain(
            f"the rows of {projection.name} cannot have a field named {' or '.join(sorted(taken))}:"
            " /views uses that name itself"
        )
