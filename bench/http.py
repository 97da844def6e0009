"""Commands over HTTP, against an endpoint on the same server that does nothing with its JSON."""

import contextlib
import itertools
import multiprocessing
import socket
import time
from collections.abc import Generator, Iterator
from multiprocessing.synchronize import Event

import msgspec
import uvicorn
import uvloop
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from bench.client import post, requests_per_second
from bench.domain import REFERENCE, domain
from bench.figure import Figure, compared, figure, server
from whence import Runtime, open_store
from whence.cli.running import relax_gc
from whence.web.app import create_app
from whence.web.connection import Connection

HOST = "127.0.0.1"
CONNECTIONS = 64
REQUESTS = 20_000
AGGREGATES = 10_000
BODY = msgspec.json.encode({"amount": 1, "reference": REFERENCE})


def figures() -> Iterator[Figure]:
    with server() as running, web(running.url) as port:
        yield uvloop.run(_measure(port))


async def _measure(port: int) -> Figure:
    numbers = itertools.count()

    def noops() -> Iterator[bytes]:
        return itertools.repeat(post("/noop", BODY), REQUESTS)

    # Every aggregate exists and is live, as in a system that has run for a minute.
    await requests_per_second(HOST, port, deposits(numbers), CONNECTIONS)
    pair = await compared(
        lambda: requests_per_second(HOST, port, deposits(numbers), CONNECTIONS),
        lambda: requests_per_second(HOST, port, noops(), CONNECTIONS),
    )
    against = "a no-op JSON POST on the same server"
    return figure(f"http, {CONNECTIONS} connections, always", pair, "commands/s", against)


def deposits(numbers: Iterator[int]) -> Iterator[bytes]:
    """As many requests as a round has, over all aggregates in turn."""
    for _ in range(REQUESTS):
        yield post(f"/accounts/{next(numbers) % AGGREGATES}/deposit", BODY)


@contextlib.contextmanager
def web(url: str) -> Generator[int]:
    """The web front end in a process of its own; yields its port."""
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    with socket.create_server((HOST, 0)) as listener:
        port: int = listener.getsockname()[1]
        process = context.Process(target=_serve, args=(url, listener, stop), daemon=True)
        process.start()
    try:
        _await_port(port)
        yield port
    finally:
        stop.set()
        process.join(20)


def _await_port(port: int) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with (
            contextlib.suppress(OSError),
            socket.create_connection((HOST, port), timeout=1) as probe,
        ):
            probe.sendall(b"GET /livez HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
            if probe.recv(100):
                return
    raise RuntimeError("the web front end did not start within 30 s")


def _serve(url: str, listener: socket.socket, stop: Event) -> None:
    relax_gc()  # as whence web does
    uvloop.run(_run(url, listener, stop))


async def _run(url: str, listener: socket.socket, stop: Event) -> None:
    async with (
        open_store(url, namespace="http", durability="relaxed") as store,
        Runtime(store, domain.write_model) as runtime,
    ):
        config = uvicorn.Config(
            _beside(create_app(domain, store, runtime)),
            http=Connection,
            ws="none",
            lifespan="off",
            access_log=False,
            log_level="warning",
            server_header=False,
        )
        await _Stoppable(config, stop).serve(sockets=[listener])


class _Stoppable(uvicorn.Server):
    """Ends when the measuring process says so, or has ended itself."""

    def __init__(self, config: uvicorn.Config, stop: Event) -> None:
        super().__init__(config)
        self._stop = stop

    async def on_tick(self, counter: int) -> bool:
        parent = multiprocessing.parent_process()
        orphaned = parent is not None and not parent.is_alive()
        return await super().on_tick(counter) or self._stop.is_set() or orphaned


def _beside(app: ASGIApp) -> ASGIApp:
    """The application, and one of Starlette's own that does nothing, on the same server."""
    routes = [
        Route("/noop", _noop, methods=["POST"]),
        Route("/noop/{id}", _noop_get, methods=["GET"]),
    ]
    noop = Starlette(routes=routes)

    async def choose(scope: Scope, receive: Receive, send: Send) -> None:
        chosen = noop if scope["path"].startswith("/noop") else app
        await chosen(scope, receive, send)

    return choose


async def _noop_get(request: Request) -> Response:
    """What one writes with Starlette to answer a GET with nothing to look up."""
    return JSONResponse({"id": request.path_params["id"], "ok": True})


async def _noop(request: Request) -> Response:
    """What one writes with Starlette to take JSON and do nothing with it."""
    await request.json()
    return JSONResponse({"ok": True})
