"""The HTTP server of ``whence dev`` and ``whence web``: uvicorn on a socket that is ours."""

import asyncio
import socket
from collections.abc import Callable, Generator
from contextlib import contextmanager

import uvicorn
from starlette.applications import Starlette

from whence.store.errors import InvalidSetting

# Seconds that requests under way have to finish once the server is told to stop.
GRACE = 5
_BACKLOG = 2048


@contextmanager
def listening(host: str, port: int) -> Generator[socket.socket]:
    """A socket that listens at host and port (0: any free one).

    Opened before anything is started, so that a port that is taken leaves nothing behind.

    Raises:
        InvalidSetting: the port is taken, or the host is not one of this machine.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as error:
        raise InvalidSetting(f"{host!r} is no address to listen at ({error})") from error
    with listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
            listener.listen(_BACKLOG)
        except OSError as error:
            raise InvalidSetting(
                f"cannot listen at {host} port {port} ({error.strerror}): stop what uses it, or "
                "choose another one with --port"
            ) from error
        yield listener


def url_of(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class _Server(uvicorn.Server):
    """uvicorn without its signal handling, which raises the signal again when all is done."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()


async def serve(
    app: Starlette, listener: socket.socket, stop: asyncio.Event, ready: Callable[[], None]
) -> None:
    """Serve until ``stop`` is set and the requests under way are done (at most 5 seconds).

    ``ready`` is called when the first request would be answered.
    """
    config = uvicorn.Config(
        app,
        http="httptools",
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=GRACE,
    )
    server = _Server(config, ready)

    async def stop_when_told() -> None:
        await stop.wait()
        app.state.live.end()  # those requests would not end by themselves
        server.should_exit = True

    watcher = asyncio.create_task(stop_when_told())
    try:
        await server.serve(sockets=[listener])
    finally:
        watcher.cancel()
