"""The short way of the requests that nearly all others are: a command, or the newest state.

They take no part in Starlette's routing, and no Request or Response is made for them. Whatever asks
for more than the plainest form of them goes the general way, which gives the same answers.
"""

from collections.abc import Awaitable, Mapping

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from whence.actors.model import AggregateType
from whence.actors.runtime import Runtime
from whence.store.errors import WhenceError
from whence.web.branches import GZIP_FROM
from whence.web.commands import SAYS_MORE, Commands, url_name
from whence.web.headers import headers_of
from whence.web.problems import answer_problem, http_problem, unexpected_problem
from whence.web.replies import JsonReply, StateReply

_NOT_ONLY_THE_STATE = frozenset([b"if-match", b"if-none-match"])


class Direct:
    """Answers ``POST /orders/42/cancel`` and ``GET /orders/42``, and leaves the rest to ``app``.

    Args:
        commands: those that ``app`` has, by aggregate.
    """

    def __init__(self, app: ASGIApp, runtime: Runtime, commands: Mapping[str, Commands]) -> None:
        self._app = app
        self._runtime = runtime
        kinds = {kind.plural.encode(): kind for kind in runtime.model.aggregates.values()}
        self._kinds = kinds
        self._commands = {
            (plural, url_name(name).encode()): (commands[kind.name], command)
            for plural, kind in kinds.items()
            for name, command in kind.commands.items()
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = self._way(scope, receive) if scope["type"] == "http" else None
        if answer is None:
            await self._app(scope, receive, send)
            return
        try:
            reply = await answer
        except ClientDisconnect:
            return  # it left before its request was complete: nothing was done, nobody listens
        except WhenceError as error:
            await (await answer_problem(Request(scope), error))(scope, receive, send)
            return
        except HTTPException as error:
            await (await http_problem(Request(scope), error))(scope, receive, send)
            return
        except Exception as error:
            await (await unexpected_problem(Request(scope), error))(scope, receive, send)
            raise
        if scope["method"] == "GET" and len(reply.body) >= GZIP_FROM:
            await self._app(scope, receive, send)  # it may have to be compressed
            return
        start: Message = {
            "type": "http.response.start",
            "status": reply.status_code,
            "headers": reply.raw_headers,
        }
        await send(start)
        await send({"type": "http.response.body", "body": reply.body})

    def _way(self, scope: Scope, receive: Receive) -> Awaitable[JsonReply] | None:
        raw: bytes | None = scope.get("raw_path")
        if not raw or b"%" in raw or scope["query_string"] or scope.get("root_path"):
            return None
        match scope["method"], raw.split(b"/"):
            case "POST", [_, plural, id_, name]:
                found = self._commands.get((plural, name))
                if found is not None and SAYS_MORE.isdisjoint(headers_of(scope)):
                    commands, command = found
                    return commands.plain(scope, receive, id_.decode("latin-1"), command)
            case "GET", [_, plural, id_]:
                kind = self._kinds.get(plural)
                if kind is not None and _NOT_ONLY_THE_STATE.isdisjoint(headers_of(scope)):
                    return self._state(kind, id_.decode("latin-1"))
            case _:
                pass
        return None

    async def _state(self, kind: AggregateType, id_: str) -> JsonReply:
        found = await self._runtime.get(kind.cls, id_)
        return JsonReply(StateReply.of(found), 200, [(b"etag", b'"%d"' % found.version)])
