"""A proxy between a store and its server that loses what a test tells it to lose."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

Decision = Callable[[bytes], bool]


class Proxy:
    """Passes bytes on. ``lose_reply`` and ``lose_request`` look at a chunk; True loses it.

    After a loss the connection is cut, as by a broken network.
    """

    def __init__(self, target: str) -> None:
        self._target = target
        self.lose_reply: Decision = lambda _: False
        self.lose_request: Decision = lambda _: False
        self.lost = 0
        self.url = ""

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await _connected(self._target)
        writers = (writer, server_writer)
        try:
            await asyncio.gather(
                self._pass(reader, server_writer, writers, "lose_request"),
                self._pass(server_reader, writer, writers, "lose_reply"),
            )
        finally:
            for each in writers:
                each.close()

    async def _pass(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        both: tuple[asyncio.StreamWriter, ...],
        loses: str,
    ) -> None:
        try:
            while chunk := await reader.read(65_536):
                decides: Decision = getattr(self, loses)  # a test may change it at any time
                if decides(chunk):
                    self.lost += 1
                    break
                writer.write(chunk)
                await writer.drain()
        except ConnectionError:
            pass
        for each in both:
            each.close()


async def _connected(url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    scheme, _, where = url.partition("://")
    if scheme == "unix":
        return await asyncio.open_unix_connection(where)
    host, _, port = where.partition(":")
    return await asyncio.open_connection(host, int(port))


@asynccontextmanager
async def proxy_to(url: str) -> AsyncGenerator[Proxy]:
    """A proxy on a loopback port in front of the server at a ``unix://`` or ``redis://`` URL."""
    proxy = Proxy(url)
    server = await asyncio.start_server(proxy.handle, "127.0.0.1", 0)
    proxy.url = f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield proxy
    finally:
        server.close()
