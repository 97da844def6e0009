"""Calls through redis-py's own pipeline: for fakeredis, and as the reference in the tests."""

import asyncio
from collections.abc import Sequence

from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, OutOfMemoryError, ReadOnlyError, ResponseError

from whence.store.wire import Command, ConnectionLost, Reply, ServerError


class ClientWire:
    """A Wire through redis-py's own pipeline.

    Args:
        client: used for nothing else, because its reply parsers are taken off.
        knows_shebang: False for fakeredis.
    """

    def __init__(self, client: "Redis", where: str, *, knows_shebang: bool) -> None:
        self._client = client
        self._where = where
        self._in_order = asyncio.Lock()
        self.knows_shebang = knows_shebang
        client.response_callbacks.clear()

    async def call(self, commands: Sequence[Command]) -> list[Reply]:
        pipeline = self._client.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command)  # pyright: ignore[reportUnknownMemberType]
        try:
            async with self._in_order:
                replies = await pipeline.execute(raise_on_error=False)
        except (RedisConnectionError, OSError) as error:
            raise ConnectionLost(str(error)) from error
        return [_as_server_error(r) if isinstance(r, ResponseError) else r for r in replies]

    async def each(self, commands: Sequence[Command]) -> dict[str, list[Reply]]:
        return {self._where: await self.call(commands)}

    async def close(self) -> None:
        await self._client.aclose()


# redis-py cuts the code off the message of the errors for which it has a class.
_CODES: dict[type[ResponseError], str] = {
    NoScriptError: "NOSCRIPT",
    ReadOnlyError: "READONLY",
    OutOfMemoryError: "OOM",
}


def _as_server_error(error: ResponseError) -> ServerError:
    code = _CODES.get(type(error))
    return ServerError(f"{code} {error}" if code else str(error))
