"""The options that say who may use a server."""

import ipaddress
import socket
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, NamedTuple

import click

from whence.store.errors import InvalidSetting
from whence.web.access import Access, Credentials
from whence.web.apikeys import ApiKeys

_FILE = click.Path(path_type=Path, dir_okay=False)

keys_option = click.option(
    "--api-keys",
    type=_FILE,
    envvar="WHENCE_API_KEYS",
    show_envvar=True,
    help='The file with the API keys; "whence keys add" writes it.',
)
_OPTIONS = (
    keys_option,
    click.option(
        "--jwt-keys",
        type=_FILE,
        envvar="WHENCE_JWT_KEYS",
        show_envvar=True,
        help="The public keys (JWKS) of those who issue tokens.",
    ),
    click.option("--jwt-issuer", envvar="WHENCE_JWT_ISSUER", show_envvar=True, help="Their iss."),
    click.option(
        "--jwt-audience", envvar="WHENCE_JWT_AUDIENCE", show_envvar=True, help="Their aud."
    ),
    click.option(
        "--jwt-algorithms",
        envvar="WHENCE_JWT_ALGORITHMS",
        show_envvar=True,
        default="ES256",
        show_default=True,
        help="Accepted algorithms, with commas between.",
    ),
    click.option(
        "--cors-origins",
        envvar="WHENCE_CORS_ORIGINS",
        show_envvar=True,
        default="",
        help="Sites whose pages may use this API, with commas between.",
    ),
)


class AccessSettings(NamedTuple):
    """What the options say."""

    api_keys: Path | None
    jwt_keys: Path | None
    jwt_issuer: str | None
    jwt_audience: str | None
    jwt_algorithms: str
    cors_origins: str

    @property
    def origins(self) -> list[str]:
        return _listed(self.cors_origins)

    def access(self, listener: socket.socket) -> Access | None:
        """Who may use a server that listens there; None if everybody on this machine may.

        Raises:
            InvalidSetting: nobody has to say who they are, and others than this machine could ask;
                or a file cannot be read.
        """
        credentials: list[Credentials] = []
        if self.api_keys is not None:
            credentials.append(ApiKeys.read(self.api_keys))
        if self.jwt_keys is not None:
            credentials.append(self._tokens(self.jwt_keys))
        if credentials:
            return Access(credentials)
        host: str = listener.getsockname()[0]
        if not ipaddress.ip_address(host).is_loopback:
            raise InvalidSetting(
                f"anybody who reaches {host} could send commands: set WHENCE_API_KEYS (make a key "
                'with "whence keys add NAME --scope write") or WHENCE_JWT_KEYS, or listen at '
                "127.0.0.1",
                field="host",
            )
        return None

    def _tokens(self, keys: Path) -> Credentials:
        if not self.jwt_issuer or not self.jwt_audience:
            raise InvalidSetting(
                "tokens need WHENCE_JWT_ISSUER and WHENCE_JWT_AUDIENCE, so that one made for "
                "somebody else is not taken"
            )
        try:
            from whence.web.tokens import Tokens  # noqa: PLC0415  # an extra
        except ModuleNotFoundError as error:
            raise InvalidSetting(
                f"tokens need the package {error.name}: pip install 'whence[jwt]'"
            ) from error
        algorithms = _listed(self.jwt_algorithms)
        return Tokens(
            keys, issuer=self.jwt_issuer, audience=self.jwt_audience, algorithms=algorithms
        )


def announce(settings: AccessSettings) -> None:
    """Say at the start of a server when nobody has to say who they are."""
    if settings.api_keys is None and settings.jwt_keys is None:
        click.echo("No keys are asked for: everybody on this machine may send commands")


def _listed(names: str) -> list[str]:
    return [name.strip() for name in names.split(",") if name.strip()]


def access_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command these options, and what they say as ``access_settings``."""

    @wraps(command)
    def with_settings(**options: Any) -> None:
        found = {name: options.pop(name) for name in AccessSettings._fields}
        command(**options, access_settings=AccessSettings(**found))

    for option in reversed(_OPTIONS):
        with_settings = option(with_settings)
    return with_settings
