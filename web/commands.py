"""POST /orders/42/cancel: a command for one aggregate, and POST /orders/place for a new one."""

import re
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope

from whence.actors.history import state_at
from whence.actors.model import AggregateType, CommandType
from whence.actors.receipt import Receipt
from whence.actors.request import CommandRequest
from whence.actors.runtime import Runtime
from whence.store.errors import Conflict, InvalidInput, PreconditionFailed, WhenceError, shown
from whence.store.ids import StreamId, check_id, derived_id, new_id
from whence.web.body import read_json
from whence.web.conditions import conditional, expected_version
from whence.web.headers import headers_of
from whence.web.origin import metadata_of
from whence.web.parameters import parameters
from whence.web.preferences import Answer, preferred
from whence.web.replies import CommandReply, JsonReply, MinimalReply, RawHeaders, StateReply

_SECONDS = re.compile(r"[0-9]{1,6}(\.[0-9]{1,6})?")
# The headers that ask for more than a command's path and body; most requests have none of them.
SAYS_MORE = frozenset(
    [b"idempotency-key", b"if-match", b"if-none-match", b"prefer", b"whence-within"]
)
# Seconds.
LONGEST_WITHIN = 3_600


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


def _within(request: Request) -> float | None:
    """The seconds in the Whence-Within header, None without one. Raises InvalidInput."""
    text = request.headers.get("whence-within")
    if text is None:
        return None
    seconds = float(text) if _SECONDS.fullmatch(text) else 0
    if not 0 < seconds <= LONGEST_WITHIN:
        raise InvalidInput(
            f"Whence-Within is a number of seconds above 0 and up to {LONGEST_WITHIN:,}, like "
            f"0.5, not {shown(text)}",
            field="Whence-Within",
        )
    return seconds


class Commands:
    """Runs the commands of one kind of aggregate.

    The actor owns the append: a client that leaves meanwhile changes nothing about it. When a field
    stands twice in a body, the last one counts.
    """

    def __init__(self, kind: AggregateType, runtime: Runtime, *, max_body_bytes: int) -> None:
        self._kind = kind
        self._runtime = runtime
        self._limit = max_body_bytes

    async def create(self, request: Request, command: CommandType) -> Response:
        """Run the command on an aggregate that does not exist yet, under an id made here.

        With an Idempotency-Key the id follows from the key, so that the same request finds the
        aggregate that it has made, also from another process and after a restart.
        """
        key = _idempotency_key(request)
        id_ = derived_id(f"{self._kind.name}/{key}") if key else new_id()
        return await self.run(request, id_, command, creates=True)

    async def run(
        self, request: Request, id_: str, command: CommandType, *, creates: bool = False
    ) -> Response:
        """Decode the body, run the command, answer with what it stored."""
        check_id(id_)
        parameters(request, ())
        arguments = command.decode(await read_json(request.scope, request.receive, self._limit))
        expected = 0 if creates else None
        metadata = metadata_of(request.scope)
        asked = CommandRequest(self._kind, command, id_, arguments, expected, metadata=metadata)
        if SAYS_MORE.isdisjoint(headers_of(request.scope)):
            return self._events(request.scope, await self._runtime.execute(asked))
        return await self._run_as_asked(request, asked)

    async def plain(
        self, scope: Scope, receive: Receive, id_: str, command: CommandType
    ) -> JsonReply:
        """Run a command whose request has no query and no header of SAYS_MORE."""
        check_id(id_)
        arguments = command.decode(await read_json(scope, receive, self._limit))
        # By position: names would cost as much as the rest of this line.
        asked = CommandRequest(self._kind, command, id_, arguments, None, "", metadata_of(scope))
        return self._events(scope, await self._runtime.execute(asked))

    async def _run_as_asked(self, request: Request, asked: CommandRequest) -> Response:
        """Run a command as its headers want it."""
        asked = asked._replace(command_id=_idempotency_key(request), within=_within(request))
        answer = preferred(request)
        if conditional(request):
            receipt = await self._run_if(request, asked)
        else:
            receipt = await self._runtime.execute(asked)
        return await self._answer(request, receipt, answer)

    async def _run_if(self, request: Request, asked: CommandRequest) -> Receipt:
        """Run a command under the conditions in its headers."""
        stream = StreamId(self._kind.name, asked.id)
        expected = await expected_version(
            request, self._runtime.store, stream, may_repeat=bool(asked.command_id)
        )
        try:
            return await self._runtime.execute(asked._replace(expected=expected))
        except Conflict as error:
            if error.expected is None:
                raise
            raise PreconditionFailed(stream, f"version {expected}", error.actual) from error

    def _events(self, scope: Scope, receipt: Receipt) -> JsonReply:
        """The answer when nothing else was asked for."""
        status, headers = self._head(scope, receipt)
        return JsonReply(CommandReply.of(receipt), status, headers)

    async def _answer(self, request: Request, receipt: Receipt, answer: Answer | None) -> Response:
        if answer is None:
            return self._events(request.scope, receipt)
        status, headers = self._head(request.scope, receipt)
        if answer == "minimal":
            headers.append((b"preference-applied", b"return=minimal"))
            return JsonReply(MinimalReply.of(receipt), status, headers)
        try:
            state = await self._state(receipt)
        except WhenceError:  # the command is stored all the same, and a preference is only a wish
            return JsonReply(CommandReply.of(receipt), status, headers)
        address = self._address(request.scope, receipt)
        headers.append((b"preference-applied", b"return=representation"))
        headers.append((b"content-location", b"%s?version=%d" % (address, receipt.version)))
        return JsonReply(state, status, headers)

    def _head(self, scope: Scope, receipt: Receipt) -> tuple[int, RawHeaders]:
        """The status and the headers that every answer to a command has."""
        headers: RawHeaders = [(b"etag", b'"%d"' % receipt.version)]
        if receipt.position:  # what a reader of the views may wait for
            headers.append((b"whence-position", b"%d:%d" % (receipt.partition, receipt.position)))
        if receipt.repeated:
            headers.append((b"idempotency-replayed", b"true"))
        if not receipt.created:
            return 200, headers
        headers.append((b"location", self._address(scope, receipt)))
        return 201, headers

    def _address(self, scope: Scope, receipt: Receipt) -> bytes:
        root: str = scope.get("root_path", "")
        return quote(f"{root}/{self._kind.plural}/{receipt.stream.id}").encode()

    async def _state(self, receipt: Receipt) -> StateReply:
        """The state that the command led to, whatever has happened since."""
        store, events = self._runtime.store, self._runtime.model.events
        id_, version = receipt.stream.id, receipt.version
        found = await state_at(store, events, self._kind, id_, version=version)
        return StateReply.of(found)
