"""``whence web``: the domain over HTTP."""

import socket

import click

from whence.actors.runtime import Runtime
from whence.cli.access import AccessSettings, access_options, announce
from whence.cli.http import listening, serve, url_of
from whence.cli.running import interruptible, run, stop_signal
from whence.cli.settings import (
    Server,
    find_domain,
    open_promised,
    server,
    writing_options,
)
from whence.domain import Domain
from whence.store.durability import Durability, Promise
from whence.web.app import create_app


@click.command()
@writing_options
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8000,
    show_default=True,
    envvar="PORT",
    show_envvar=True,
    help="Where to listen; 0 takes any free port.",
)
@access_options
def web(
    domain_path: str | None,
    url: str | None,
    durability: Durability,
    assert_durability: bool,
    host: str,
    port: int,
    access_settings: AccessSettings,
) -> None:
    """Serve the domain over HTTP: commands, states, history and views.

    Start as many as you like, on one server. Views are kept up to date by "whence worker".
    """
    domain = find_domain(domain_path)
    promise = Promise(durability, assert_durability)
    with (
        interruptible(),
        listening(host, port) as listener,
        server(url, create=True, durability=durability) as found,
    ):
        run(_serve(domain, found, promise, listener, access_settings))


async def _serve(
    domain: Domain,
    found: Server,
    promise: Promise,
    listener: socket.socket,
    settings: AccessSettings,
) -> None:
    access = settings.access(listener)
    async with (
        stop_signal(found) as stop,
        open_promised(found.url, promise) as store,
        Runtime(store, domain.write_model) as runtime,
    ):
        app = create_app(domain, store, runtime, access=access, cors_origins=settings.origins)

        def ready() -> None:
            click.echo(f"Serving at {url_of(listener)}")
            announce(access)

        await serve(app, listener, stop, ready)
