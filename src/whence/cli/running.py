"""How a serving command runs: until a signal, a failure, or the end of its embedded server."""

import asyncio
import gc
import os
import resource
import signal
from collections.abc import AsyncGenerator, Coroutine, Generator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

import uvloop

from whence.cli.logs import LogFormat, configure_logs
from whence.cli.settings import Server
from whence.store.errors import EmbeddedServerError

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
# Seconds between two looks at the embedded server.
_LOOK_EVERY = 0.2


@contextmanager
def interruptible() -> Generator[None]:
    """End like on Ctrl-C when SIGTERM comes, so that what was started is stopped."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def run(main: Coroutine[Any, Any, None], log_format: LogFormat = "text") -> None:
    """Run a serving command's coroutine on uvloop, until it returns."""
    configure_logs(log_format)
    relax_gc()
    allow_connections()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main)


def relax_gc() -> None:
    """Look for garbage less often than Python does by default.

    A live actor is a few objects that stay, and each look at all of them, every few thousand
    commands, took nearly half of the time of a command.
    """
    gc.set_threshold(50_000, 50, 1_000)


def allow_connections() -> None:
    """Take as many descriptors as the system lets this process have: each connection is one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        # macOS refuses what it calls unlimited here; what was before stays then.
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@asynccontextmanager
async def stop_signal(server: Server) -> AsyncGenerator[asyncio.Event]:
    """An event that Ctrl-C or SIGTERM sets, or the end of the embedded server.

    The second signal ends the process at once.

    Raises:
        EmbeddedServerError: at the end of the context, if the server ended by itself.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def on_signal(number: signal.Signals) -> None:
        if stop.is_set():
            _force(server, number)
        stop.set()

    for number in _SIGNALS:
        loop.add_signal_handler(number, on_signal, number)
    try:
        async with beside(_watch(server), stop):
            yield stop
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)


def _force(server: Server, number: signal.Signals) -> None:
    if server.embedded is not None:
        server.embedded.stop()
    # Whatever still runs does not want to end: leave it no say.
    os._exit(128 + number)


async def _watch(server: Server) -> None:
    while server.embedded is not None:
        await asyncio.sleep(_LOOK_EVERY)
        if not server.embedded.alive():
            raise EmbeddedServerError(
                f"the embedded server on {server.embedded.data} ended by itself, and valkey.log "
                "in it may say why; every acknowledged event is stored: start again"
            )


@asynccontextmanager
async def beside(work: Coroutine[Any, Any, None], stop: asyncio.Event) -> AsyncGenerator[None]:
    """Run ``work`` beside the block, and cancel it at its end.

    When ``work`` fails, ``stop`` is set, and its error is raised at the end of the block.
    """

    def on_done(task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            stop.set()

    task = asyncio.create_task(work)
    task.add_done_callback(on_done)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
