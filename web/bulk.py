"""POST /commands: one command per line, and one answer per line, in the same order."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial
from typing import Annotated, NamedTuple

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from whence.actors.receipt import Receipt
from whence.actors.request import CommandRequest
from whence.actors.runtime import Runtime
from whence.store.errors import InvalidInput, WhenceError
from whence.store.ids import check_id
from whence.store.metadata import Metadata
from whence.web.lines import lines_of
from whence.web.origin import metadata_of
from whence.web.problems import Problem, problem_of

NDJSON = "application/x-ndjson"
# Commands of one request that are under way at a time.
WINDOW = 512
# Seconds that a client may leave its answers unread.
UNREAD_FOR = 30.0

_NO_BODY = msgspec.Raw(b"{}")


class BulkCommand(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One line of the request: ``order``, ``42``, ``cancel``, and the command's body."""

    aggregate: str
    id: str
    command: str
    body: msgspec.Raw = _NO_BODY
    idempotency_key: str | None = None
    expected: Annotated[int, msgspec.Meta(ge=0, lt=10**15)] | None = None


class BulkAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of the answer: what the command alone would have got, without its events."""

    line: int
    status: int
    id: str = ""
    version: int | None = None
    partition: int | None = None
    position: int | None = None
    replayed: bool = False
    problem: Problem | None = None


_decode = msgspec.json.Decoder(BulkCommand).decode
_encode_lines = msgspec.json.Encoder().encode_lines


class Bulk:
    """Takes the requests."""

    def __init__(self, runtime: Runtime, *, max_line_bytes: int) -> None:
        self._runtime = runtime
        self._limit = max_line_bytes

    async def run(self, request: Request) -> Response:
        """POST /commands. Raises HTTPException (415) for another content type, or an encoding."""
        found = request.headers.get("content-type", NDJSON).partition(";")[0].strip().lower()
        if found != NDJSON:
            raise HTTPException(415, f"the body must be {NDJSON}, not {found[:80]!r}")
        if "content-encoding" in request.headers:
            raise HTTPException(415, "send the body without a content encoding")
        return _Answers(self._runtime, self._limit, metadata_of(request.scope))


class _Answers(Response):
    """Reads commands and writes answers at the same time, so neither is ever held as a whole.

    At most WINDOW commands are under way: a client that sends faster than they are stored, or does
    not read its answers, is not read from.
    """

    def __init__(self, runtime: Runtime, limit: int, metadata: Metadata) -> None:
        super().__init__(media_type=NDJSON)
        del self.headers["content-length"]
        self._runtime = runtime
        self._limit = limit
        self._metadata = metadata
        self._under_way: deque[_UnderWay] = deque()
        self._last: dict[tuple[str, str], asyncio.Future[Receipt]] = {}
        self._line = 0
        self._changed = asyncio.Event()
        self._complete = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        reader = asyncio.create_task(self._read(receive))
        await asyncio.sleep(0)  # the first look at the body is what a client with Expect waits for
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        try:
            async with aclosing(self._answers()) as answers:
                async for chunk in answers:
                    async with asyncio.timeout(UNREAD_FOR):
                        await send(_body(chunk, more=True))
            await reader
            await send(_body(b"", more=False))
        except (ClientDisconnect, TimeoutError):
            pass  # nobody listens any more; what was begun is finished all the same
        finally:
            reader.cancel()

    async def _read(self, receive: Receive) -> None:
        try:
            async with aclosing(lines_of(receive, self._limit)) as pieces:
                async for lines in pieces:
                    for line in lines:
                        while len(self._under_way) >= WINDOW:
                            self._changed.clear()
                            await self._changed.wait()
                        self._begin(line)
        finally:
            self._complete = True
            self._changed.set()

    async def _answers(self) -> AsyncGenerator[bytes]:
        while self._under_way or not self._complete:
            if not self._under_way:
                self._changed.clear()
                await self._changed.wait()
                continue
            if not self._under_way[0].done:
                await asyncio.wait([self._under_way[0].receipt])
            done: list[BulkAnswer] = []
            while self._under_way and self._under_way[0].done:
                done.append(self._under_way.popleft().answer())
            self._changed.set()
            yield _encode_lines(done)

    def _begin(self, line: bytes | None) -> None:
        self._line += 1
        if line is not None and not line.strip():
            return
        id_ = ""
        try:
            asked = self._asked(line)
            id_ = asked.id
            receipt = self._in_turn(asked)
        except WhenceError as error:
            receipt = asyncio.get_running_loop().create_future()
            receipt.set_exception(error)
            receipt.exception()  # asyncio complains of one that nobody has looked at
        self._under_way.append(_UnderWay(self._line, id_, receipt))
        self._changed.set()

    def _asked(self, line: bytes | None) -> CommandRequest:
        if line is None:
            raise InvalidInput(f"a line may have {self._limit:,} bytes")
        try:
            found = _decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise InvalidInput(f"this line is no command: {error}") from error
        kind = self._runtime.model.aggregate(found.aggregate)
        command = kind.command(found.command.replace("-", "_"))
        if found.idempotency_key is not None:
            check_id(found.idempotency_key, field="idempotency_key")
        arguments = command.decode(found.body)
        return CommandRequest(
            kind,
            command,
            found.id,
            arguments,
            found.expected,
            found.idempotency_key or "",
            self._metadata,
        )

    def _in_turn(self, asked: CommandRequest) -> asyncio.Future[Receipt]:
        """Send a command so that those of one aggregate take effect in the order of their lines.

        A mailbox keeps that order by itself. A key is looked up first, and middleware may wait for
        anything: what stands behind such a command, for the same aggregate, waits for it.
        """
        target = (asked.kind.name, asked.id)
        before = self._last.get(target)
        if before is None and not asked.command_id and not self._runtime.has_middleware:
            return self._runtime.post(asked)
        receipt = self._last[target] = asyncio.create_task(self._after(before, asked))
        receipt.add_done_callback(partial(self._forget, target))
        return receipt

    def _forget(self, target: tuple[str, str], receipt: asyncio.Future[Receipt]) -> None:
        if not receipt.cancelled():
            receipt.exception()  # as above
        if self._last.get(target) is receipt:
            del self._last[target]

    async def _after(
        self, before: asyncio.Future[Receipt] | None, asked: CommandRequest
    ) -> Receipt:
        if before is not None:
            await asyncio.wait([before])
        return await self._runtime.execute(asked)


class _UnderWay(NamedTuple):
    """A line, the id that it names, and what comes of it."""

    line: int
    id: str
    receipt: asyncio.Future[Receipt]

    @property
    def done(self) -> bool:
        return self.receipt.done()

    def answer(self) -> BulkAnswer:
        """Of one that is done."""
        try:
            return _done(self.line, self.receipt.result())
        except Exception as error:  # whatever a domain raises, it is the answer to this line
            return _refusal(self.line, self.id, error)


def _done(line: int, receipt: Receipt) -> BulkAnswer:
    return BulkAnswer(
        line,
        201 if receipt.created else 200,
        receipt.stream.id,
        receipt.version,
        receipt.partition,
        receipt.position,
        receipt.repeated,
    )


def _refusal(line: int, id_: str, error: Exception) -> BulkAnswer:
    problem = problem_of(error, f"POST /commands, line {line}")
    return BulkAnswer(line, problem.status, id_, problem=problem)


def _body(chunk: bytes, *, more: bool) -> Message:
    return {"type": "http.response.body", "body": chunk, "more_body": more}
