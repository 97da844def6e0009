"""The HTTP server of the serving commands: uvicorn on a socket that is ours."""

import asyncio
import socket
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager

import uvicorn
from starlette.types import ASGIApp

from whence.store.errors import InvalidSetting
from whence.web.connection import Connection

# Seconds that requests under way have to finish once the server is told to stop.
GRACE = 5
_BACKLOG = 2048


@contextmanager
def listening(host: str, port: int, option: str = "--port") -> Generator[socket.socket]:
    """A socket that listens at host and port (0: any free one); ``option`` chose the port.

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
                f"choose another one with {option}"
            ) from error
        yield listener


def url_of(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class _Server(uvicorn.Server):
    """uvicorn without its signal handling, which raises the signal again when all is done."""

    def __init__(self, config: uvicorn.Config, ready: asyncio.Event) -> None:
        super().__init__(config)
        self._ready = ready

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready.set()


@asynccontextmanager
async def serving(
    app: ASGIApp,
    listener: socket.socket,
    stop: asyncio.Event,
    ending: Callable[[], None] = lambda: None,
) -> AsyncGenerator[None]:
    """Serve beside the block; at its end the requests under way have 5 seconds to finish.

    When serving fails, ``stop`` is set, and the error is raised at the end of the block.

    Args:
        ending: called before those requests are waited for, to end what would not end by itself.
    """
    config = uvicorn.Config(
        app,
        http=Connection,
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=GRACE,
    )
    started = asyncio.Event()
    server = _Server(config, started)

    def on_done(task: asyncio.Task[None]) -> None:
        started.set()
        stop.set()

    task = asyncio.create_task(server.serve(sockets=[listener]))
    task.add_done_callback(on_done)
    await started.wait()
    try:
        yield
    finally:
        ending()
        server.should_exit = True
        await task
