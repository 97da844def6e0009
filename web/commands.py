"""POST /orders/42/cancel: a command for one aggregate."""

from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from whence.actors.model import AggregateType, CommandType
from whence.actors.runtime import CommandRequest, Runtime
from whence.store.ids import check_id
from whence.web.body import read_json
from whence.web.parameters import parameters
from whence.web.replies import CommandReply, etag, reply


def url_name(command: str) -> str:
    """The name of a command in URLs: ``change_address`` is ``change-address`` there."""
    return command.replace("_", "-")


def _idempotency_key(request: Request) -> str:
    """The Idempotency-Key header, empty without one. Raises InvalidId.

    The header's draft standard has it in quotes; most clients send it without.
    """
    key = request.headers.get("idempotency-key")
    if key is None:
        return ""
    return check_id(key.removeprefix('"').removesuffix('"'), field="Idempotency-Key")


class Commands:
    """Runs the commands of one kind of aggregate.

    The actor owns the append: a client that leaves meanwhile changes nothing about it. When a field
    stands twice in a body, the last one counts.
    """

    def __init__(self, kind: AggregateType, runtime: Runtime, *, max_body_bytes: int) -> None:
        self._kind = kind
        self._runtime = runtime
        self._limit = max_body_bytes

    async def run(self, request: Request, id_: str, command: CommandType) -> Response:
        """Decode the body, run the command, answer with what it stored."""
        check_id(id_)
        parameters(request, ())
        arguments = command.decode(await read_json(request, self._limit))
        asked = CommandRequest(
            self._kind, command, id_, arguments, command_id=_idempotency_key(request)
        )
        receipt = await self._runtime.execute(asked)
        headers = etag(receipt.version)
        if receipt.position:  # what a reader of the views may wait for
            headers["whence-position"] = f"{receipt.partition}:{receipt.position}"
        if receipt.repeated:
            headers["idempotency-replayed"] = "true"
        if receipt.created:
            root: str = request.scope.get("root_path", "")
            headers["location"] = quote(f"{root}/{self._kind.plural}/{id_}")
        status = 201 if receipt.created else 200
        return reply(CommandReply.of(receipt), status=status, headers=headers)
