"""The application behind the real server."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import uvicorn
from starlette.types import ASGIApp
from uvicorn.server import ServerState

from whence.web.connection import Connection


@asynccontextmanager
async def serving(
    app: ASGIApp, port: int = 0, protocol: type[Connection] = Connection
) -> AsyncGenerator[int]:
    """Serve on a port of the loopback, a free one unless given, and yield it."""
    config = uvicorn.Config(
        app, http=protocol, ws="none", lifespan="off", access_log=False, log_config=None
    )
    config.load()
    state = ServerState()
    server = await asyncio.get_running_loop().create_server(
        lambda: protocol(config, state, {}), "127.0.0.1", port
    )
    async with server:
        yield server.sockets[0].getsockname()[1]
        for connection in list(state.connections):
            connection.shutdown()
        await asyncio.gather(*state.tasks)
