"""The options that say what a serving command tells about itself, and to whom."""

import asyncio
import socket
from collections.abc import AsyncGenerator, Callable, Generator, Iterable
from contextlib import asynccontextmanager, contextmanager
from functools import wraps
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from whence.cli.http import listening, serving, url_of
from whence.cli.logs import LogFormat
from whence.cli.running import beside

if TYPE_CHECKING:
    from whence.web.metrics.families import Source

_OPTIONS = (
    click.option(
        "--metrics-port",
        type=click.IntRange(0, 65535),
        envvar="WHENCE_METRICS_PORT",
        show_envvar=True,
        help="Where Prometheus finds /metrics; 0 takes any free port. Off unless set.",
    ),
    click.option(
        "--metrics-host",
        envvar="WHENCE_METRICS_HOST",
        show_envvar=True,
        default="127.0.0.1",
        show_default=True,
        help="The address that goes with --metrics-port. Nobody is asked for a key there.",
    ),
    click.option(
        "--log-format",
        type=click.Choice(["text", "json"]),
        envvar="WHENCE_LOG_FORMAT",
        show_envvar=True,
        default="text",
        show_default=True,
        help="What the lines on stderr look like.",
    ),
    click.option(
        "--traces",
        envvar="WHENCE_TRACES",
        show_envvar=True,
        metavar="EXPORTER",
        help="Send spans with this exporter of OpenTelemetry, as console or otlp_proto_http.",
    ),
)


class Observing(NamedTuple):
    """What the options say."""

    metrics_port: int | None
    metrics_host: str
    log_format: LogFormat
    traces: str | None

    @contextmanager
    def listening(self) -> Generator[socket.socket | None]:
        """The socket for the metrics; None without the option. Raises InvalidSetting."""
        if self.metrics_port is None:
            yield None
            return
        with listening(self.metrics_host, self.metrics_port, option="--metrics-port") as listener:
            yield listener


@asynccontextmanager
async def exposing(
    listener: socket.socket | None, stop: asyncio.Event, sources: Callable[[], "Iterable[Source]"]
) -> AsyncGenerator[None]:
    """Serve what the sources tell, and how late the event loop is, beside the block.

    Args:
        listener: where; None for nowhere.
        stop: set when that fails.
        sources: made only if they are asked for, and so are the libraries behind them.
    """
    if listener is None:
        yield
        return
    from whence.web.metrics.exposition import exposition  # noqa: PLC0415  # only if asked for
    from whence.web.metrics.loop import LoopLag  # noqa: PLC0415

    lag = LoopLag()
    app = exposition([*sources(), lag])
    async with serving(app, listener, stop), beside(lag.run(), stop):
        click.echo(f"Metrics at {url_of(listener)}/metrics")
        yield


def observing_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command these options, and what they say as ``observing``."""

    @wraps(command)
    def with_settings(**options: Any) -> None:
        found = {name: options.pop(name) for name in Observing._fields}
        command(**options, observing=Observing(**found))

    for option in reversed(_OPTIONS):
        with_settings = option(with_settings)
    return with_settings
