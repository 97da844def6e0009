"""POST /commands: one command per line, and one answer per line, in the same order."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial
from typing import Annotated

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
_encode = msgspec.json.Encoder().encode


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
        self._under_way: deque[asyncio.Future[BulkAnswer]] = deque()
        self._last: dict[tuple[str, str], asyncio.Future[BulkAnswer]] = {}
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
                        await self._room()
                        self._begin(line)
        finally:
            self._complete = True
            self._changed.set()

    async def _room(self) -> None:
        while len(self._under_way) >= WINDOW:
            self._changed.clear()
            await self._changed.wait()

    async def _answers(self) -> AsyncGenerator[bytes]:
        while self._under_way or not self._complete:
            if not self._under_way:
                self._changed.clear()
                await self._changed.wait()
                continue
            await asyncio.wait([self._under_way[0]])
            done: list[bytes] = []
            while self._under_way and self._under_way[0].done():
                done.append(_encode(self._under_way.popleft().result()))
            self._changed.set()
            yield b"\n".join([*done, b""])

    def _begin(self, line: bytes | None) -> None:
        self._line += 1
        if line is not None and not line.strip():
            return
        try:
            asked = self._asked(line)
        except WhenceError as error:
            answer: asyncio.Future[BulkAnswer] = asyncio.get_running_loop().create_future()
            answer.set_result(_refusal(self._line, "", error))
        else:
            answer = self._in_turn(asked)
        self._under_way.append(answer)
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

    def _in_turn(self, asked: CommandRequest) -> "asyncio.Future[BulkAnswer]":
        """Send a command so that those of one aggregate take effect in the order of their lines.

        A mailbox keeps that order by itself. A key is looked up first, and middleware may wait for
        anything: what stands behind such a command, for the same aggregate, waits for it.
        """
        target = (asked.kind.name, asked.id)
        before = self._last.get(target)
        answer = asyncio.create_task(self._answer(self._line, asked, before))
        if asked.command_id or before is not None or self._runtime.has_middleware:
            self._last[target] = answer
            answer.add_done_callback(partial(self._forget, target))
        return answer

    def _forget(self, target: tuple[str, str], answer: "asyncio.Future[BulkAnswer]") -> None:
        if self._last.get(target) is answer:
            del self._last[target]

    async def _answer(
        self, line: int, asked: CommandRequest, before: "asyncio.Future[BulkAnswer] | None"
    ) -> BulkAnswer:
        if before is not None:
            await asyncio.wait([before])
        try:
            receipt = await self._runtime.execute(asked)
        except Exception as error:  # whatever a domain raises, it is the answer to this line
            return _refusal(line, asked.id, error)
        return _done(line, receipt)


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
