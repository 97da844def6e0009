"""Where a store lives: a URL, and the connections that reach it."""

from typing import Any, NamedTuple
from urllib.parse import urlsplit

from redis.asyncio import Redis
from redis.asyncio.connection import ConnectionPool
from redis.backoff import NoBackoff
from redis.retry import Retry

from whence.store.errors import InvalidSetting, shown
from whence.store.wire import ClientWire, Guard, SocketWire, Wire

# Seconds. A command that takes longer has an unknown outcome and is resolved by asking again.
CALL_TIMEOUT = 5.0
CONNECT_TIMEOUT = 5.0

_SCHEMES = {"redis": "redis", "rediss": "rediss", "unix": "unix", "valkey": "redis"}


class Address(NamedTuple):
    """A server that redis-py can reach, or a name for a fakeredis server within this process."""

    url: str
    in_memory: bool

    @classmethod
    def parse(cls, url: str) -> "Address":
        """Take ``redis://``, ``rediss://``, ``valkey://``, ``unix://`` and ``memory://`` URLs.

        Raises:
            InvalidSetting: for any other, without repeating a password.
        """
        scheme, separator, rest = url.partition("://")
        if separator and scheme == "memory":
            return cls(url, True)
        if not separator or scheme not in _SCHEMES:
            raise InvalidSetting(
                f"{shown(scheme if separator else url)} is not a kind of server Whence knows: "
                "use redis://, rediss://, valkey://, unix:// or memory://",
                field="url",
            )
        address = cls(f"{_SCHEMES[scheme]}://{rest}", False)
        address._check()
        return address

    def _check(self) -> None:
        try:
            self.pool()
        except ValueError:  # its text may quote a part of the password
            raise InvalidSetting(
                "the server's URL cannot be read: check its host, port and options, and write "
                "/ # ? @ : in a password as %2F %23 %3F %40 %3A",
                field="url",
            ) from None

    @property
    def shown(self) -> str:
        """The URL without its password, for messages and logs."""
        parts = urlsplit(self.url)
        where = parts.hostname or ""
        port = f":{parts.port}" if parts.port else ""
        return f"{parts.scheme}://{where}{port}{parts.path}"

    def pool(self) -> ConnectionPool:
        """A pool whose connections never repeat a command by themselves.

        redis-py repeats ten times by default, writes included, which turns a commit of one's own
        into a false conflict.
        """
        return ConnectionPool.from_url(  # pyright: ignore[reportUnknownMemberType]
            self.url,
            protocol=2,
            socket_connect_timeout=CONNECT_TIMEOUT,
            socket_timeout=None,
            retry=Retry(NoBackoff(), 0),
        )

    def wire(self, timeout: float = CALL_TIMEOUT, guard: Guard | None = None) -> Wire:
        """A connection of its own.

        Args:
            timeout: seconds for one call, blocking included.
            guard: looks at the server each time it connects; never at one in memory.
        """
        if self.in_memory:
            return ClientWire(_fake_client(self.url), self.url, knows_shebang=False)
        return SocketWire(self.pool(), self.shown, timeout, CONNECT_TIMEOUT, guard)


def _fake_client(url: str) -> "Redis":
    try:
        import fakeredis  # noqa: PLC0415  # an extra: only memory:// needs it
    except ModuleNotFoundError:
        raise InvalidSetting(
            "memory:// needs the package fakeredis: pip install 'whence[memory]'", field="url"
        ) from None
    return fakeredis.FakeAsyncRedis(server=_fake_server(url), protocol=2)


_fake_servers: dict[str, Any] = {}


def _fake_server(url: str) -> Any:
    """One in-memory server per URL and process, so that two stores may share memory://name."""
    import fakeredis  # noqa: PLC0415

    return _fake_servers.setdefault(url, fakeredis.FakeServer())
