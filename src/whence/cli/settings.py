"""What every command has to know: which domain, and which server.

The environment is read here and nowhere else, as the defaults of options.
"""

from collections.abc import Callable, Generator
from contextlib import AbstractAsyncContextManager, contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import NamedTuple, TypeVar

import click

from whence.domain import Domain, load_domain
from whence.project import configured
from whence.store.durability import FSYNC, Durability, Promise
from whence.store.embedded import EmbeddedServer, running_at
from whence.store.errors import DataDirectoryInUse, InvalidSetting
from whence.store.eventstore import EventStore, open_store

Command = TypeVar("Command", bound=Callable[..., object])

DATA = Path("whence-data")
# Seconds to wait for a server that another command is just starting, and between two looks.
_STARTING = 10.0
_PAUSE = 0.05


class DurabilityName(click.ParamType[Durability]):
    """fsync, relaxed or replicated:N."""

    name = "durability"

    def convert(
        self, value: str | Durability, param: click.Parameter | None, ctx: click.Context | None
    ) -> Durability:
        if isinstance(value, Durability):
            return value
        try:
            return Durability.parse(value)
        except InvalidSetting as error:
            self.fail(str(error), param, ctx)


domain_option = click.option(
    "--domain",
    "domain_path",
    envvar="WHENCE_DOMAIN",
    show_envvar=True,
    metavar="MODULE:NAME",
    help="The domain, as examples.orders:domain. Default: [tool.whence] domain in pyproject.toml.",
)
url_option = click.option(
    "--url",
    envvar="WHENCE_URL",
    show_envvar=True,
    metavar="URL",
    help="The server: redis://, rediss://, valkey://, unix:// or memory://; several: "
    "redis+cluster:// or redis+sentinel://. "
    "Default: the embedded one in ./whence-data.",
)
durability_option = click.option(
    "--durability",
    type=DurabilityName(),
    envvar="WHENCE_DURABILITY",
    show_envvar=True,
    default="fsync",
    show_default=True,
    help="What an acknowledged event survives: fsync (power loss), replicated:N (loss of the "
    "server, by N replicas), or relaxed (as the server is set).",
)
assert_option = click.option(
    "--assert-durability",
    is_flag=True,
    envvar="WHENCE_ASSERT_DURABILITY",
    show_envvar=True,
    help="Vouch for settings that the server does not show to this user.",
)


def writing_options(command: Command) -> Command:
    """The options of a command that writes: which domain, which server, and what it has to keep."""
    for option in (assert_option, durability_option, url_option, domain_option):
        command = option(command)
    return command


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


class Server(NamedTuple):
    """Where the events are; ``embedded`` is the server if this process has started it."""

    url: str
    embedded: EmbeddedServer | None = None


def find_domain(path: str | None) -> Domain:
    """The domain of the option, or else of ./pyproject.toml.

    Raises:
        InvalidSetting: neither names one, or what they name is no domain.
        InvalidDomain: it contradicts itself.
    """
    found = path or configured("domain", "MODULE:NAME")
    if found is None:
        raise InvalidSetting(
            "no domain is given: use --domain MODULE:NAME, set WHENCE_DOMAIN, or write "
            '[tool.whence] with domain = "MODULE:NAME" into pyproject.toml'
        )
    return load_domain(found)


@contextmanager
def server(
    url: str | None, *, create: bool = False, durability: Durability = FSYNC
) -> Generator[Server]:
    """The server at ``url``, or else the embedded one in ./whence-data.

    One that runs there is used, otherwise one is started for as long as the context lasts.
    ``create``: make the folder if it does not exist. ``durability``: of a server that is started.

    Raises:
        InvalidSetting: there is no such folder.
        EmbeddedServerError: the server cannot be started.
    """
    if url or (url := running_at(DATA)):
        yield Server(url)
        return
    if not create and not DATA.is_dir():
        raise InvalidSetting(
            f"there are no events here: no folder {DATA}, and WHENCE_URL is not set; start with "
            '"whence dev MODULE:domain", or set WHENCE_URL to your server'
        )
    try:
        embedded = start_embedded(DATA, durability)
    except DataDirectoryInUse:
        # Between the look and the start another command began to start it.
        yield Server(_once_running())
        return
    with embedded:
        yield Server(embedded.url, embedded)


def start_embedded(data: Path, durability: Durability) -> EmbeddedServer:
    """Start a server that keeps what ``durability`` promises.

    Raises:
        InvalidSetting: an embedded server has no replicas, or the folder cannot be used.
        EmbeddedServerError: the server cannot be started.
    """
    if durability.replicas:
        raise InvalidSetting(
            f"durability {durability} needs a server with replicas, and the embedded one has none: "
            "use fsync or relaxed, or set WHENCE_URL to your server",
            field="durability",
        )
    return EmbeddedServer.start(data, fsync="always" if durability == FSYNC else "everysec")


def open_promised(url: str, promise: Promise) -> AbstractAsyncContextManager[EventStore]:
    """``open_store`` with the durability that the options ask for."""
    return open_store(url, durability=promise.durability, assert_durability=promise.asserted)


def _once_running() -> str:
    give_up = monotonic() + _STARTING
    while monotonic() < give_up:
        url = running_at(DATA)
        if url:
            return url
        sleep(_PAUSE)
    raise DataDirectoryInUse(DATA.resolve(), None)
