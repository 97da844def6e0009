"""Where a store lives: a URL, and the connections that reach it."""

from typing import Any, Literal, NamedTuple
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from redis.asyncio import Redis
from redis.asyncio.connection import ConnectionPool
from redis.backoff import NoBackoff
from redis.retry import Retry

from whence.store.client_wire import ClientWire
from whence.store.cluster import ClusterWire
from whence.store.errors import InvalidSetting, shown
from whence.store.sentinel import SentinelWire, primary_only
from whence.store.topology import Node
from whence.store.wire import Guard, SocketWire, Wire

# Seconds. A command that takes longer has an unknown outcome and is resolved by asking again.
CALL_TIMEOUT = 5.0
CONNECT_TIMEOUT = 5.0
# Seconds to ask one node or sentinel where the primaries are; then the next one is asked.
ASK_TIMEOUT = 1.0

Kind = Literal["server", "cluster", "sentinel", "memory"]

_SCHEMES = {"redis": "redis", "rediss": "rediss", "unix": "unix", "valkey": "redis"}
_PORTS: dict[Kind, int] = {"cluster": 6379, "sentinel": 26379}


class Address(NamedTuple):
    """A server that redis-py can reach, several that stand for one, or one within this process.

    ``nodes`` are the nodes of a Cluster, or the sentinels, that the URL names; ``service`` is the
    name under which the sentinels know the primary.
    """

    url: str
    kind: Kind
    nodes: tuple[Node, ...] = ()
    service: str = ""

    @classmethod
    def parse(cls, url: str) -> "Address":
        """Take the URL of a server, of a Cluster, of sentinels, or of a server in memory.

        ``redis://``, ``rediss://`` (TLS), ``valkey://`` and ``unix://`` name one server;
        ``redis+cluster://host:port,host:port`` some nodes of a Cluster, and
        ``redis+sentinel://host:port,host:port/service`` the sentinels of a primary, both also with
        ``rediss`` and ``valkey``; ``memory://name`` a server in this process.

        Raises:
            InvalidSetting: for any other, without repeating a password.
        """
        scheme, separator, rest = url.partition("://")
        if separator and scheme == "memory":
            return cls(url, "memory")
        base, _, suffix = scheme.partition("+")
        kind = _kind(base, suffix) if separator else None
        if kind is None:
            raise InvalidSetting(
                f"{shown(scheme if separator else url)} is not a kind of server Whence knows: "
                "use redis://, rediss://, valkey://, unix:// or memory://; redis+cluster:// and "
                "redis+sentinel:// name several servers",
                field="url",
            )
        known = f"{_SCHEMES[base]}+{suffix}" if suffix else _SCHEMES[base]
        try:
            return _checked(cls(f"{known}://{rest}", kind))
        except (ValueError, TypeError):  # its text may quote a part of the password
            raise InvalidSetting(
                "the server's URL cannot be read: check its host, port and options, and write "
                "/ # ? @ : in a password as %2F %23 %3F %40 %3A",
                field="url",
            ) from None

    @property
    def in_memory(self) -> bool:
        return self.kind == "memory"

    @property
    def spread(self) -> bool:
        """Whether the partitions lie on several servers, so that no command may touch two."""
        return self.kind == "cluster"

    @property
    def shown(self) -> str:
        """The URL without its password, for messages and logs."""
        parts = urlsplit(self.url)
        if self.nodes:
            where = ",".join(map(str, self.nodes))
        else:
            port = f":{parts.port}" if parts.port else ""
            where = f"{parts.hostname or ''}{port}"
        return f"{parts.scheme}://{where}{parts.path}"

    def pool(self, node: Node | None = None) -> ConnectionPool:
        """A pool whose connections never repeat a command by themselves.

        redis-py repeats ten times by default, writes included, which turns a commit of one's own
        into a false conflict.

        Args:
            node: the one of several servers, reached as the URL says of all of them.
        """
        return _pool(self.url if node is None else self._url_of(node))

    def wire(self, timeout: float = CALL_TIMEOUT, guard: Guard | None = None) -> Wire:
        """A connection of its own.

        Args:
            timeout: seconds for one call, blocking included.
            guard: looks at each server each time it connects; never at one in memory.
        """

        watch = primary_only(guard) if self.kind == "sentinel" else guard

        def connect(node: Node) -> Wire:
            return SocketWire(self.pool(node), self._at(node), timeout, CONNECT_TIMEOUT, watch)

        match self.kind:
            case "memory":
                return ClientWire(_fake_client(self.url), self.url, knows_shebang=False)
            case "server":
                return SocketWire(self.pool(), self.shown, timeout, CONNECT_TIMEOUT, guard)
            case "cluster":
                return ClusterWire(self.nodes, self.shown, connect, self._to_ask)
            case "sentinel":
                ask = self._to_ask_sentinel
                return SentinelWire(self.nodes, self.service, self.shown, connect, ask)

    def _at(self, node: Node) -> str:
        """One of several servers, as an error message may name it."""
        return f"{node} of {self.shown}"

    def _to_ask(self, node: Node) -> Wire:
        return SocketWire(self.pool(node), self._at(node), ASK_TIMEOUT, ASK_TIMEOUT)

    def _to_ask_sentinel(self, node: Node) -> Wire:
        pool = _pool(self._url_of(node, sentinel=True))
        return SocketWire(pool, f"sentinel {self._at(node)}", ASK_TIMEOUT, ASK_TIMEOUT)

    def _url_of(self, node: Node, *, sentinel: bool = False) -> str:
        """The URL of one of the servers; sentinels have users and passwords of their own."""
        parts = urlsplit(self.url)
        options = dict(parse_qsl(parts.query, keep_blank_values=True))
        user = options.pop("sentinel_username", "")
        password = options.pop("sentinel_password", "")
        credentials = parts.netloc.rpartition("@")[0]
        if sentinel:
            options.pop("db", None)
            credentials = f"{quote(user, safe='')}:{quote(password, safe='')}" if password else ""
        scheme = parts.scheme.partition("+")[0]
        at = f"{credentials}@" if credentials else ""
        query = f"?{urlencode(options)}" if options else ""
        return f"{scheme}://{at}{node}/{query}"


def _kind(base: str, suffix: str) -> Kind | None:
    if base not in _SCHEMES:
        return None
    match suffix:
        case "":
            return "server"
        case "cluster" | "sentinel" if base != "unix":
            return suffix
        case _:
            return None


def _checked(address: Address) -> Address:
    """The address with its servers. Raises ValueError, TypeError or InvalidSetting."""
    if address.kind == "server":
        address.pool().make_connection()  # type: ignore[no-untyped-call]
        return address
    parts = urlsplit(address.url)
    hosts = parts.netloc.rpartition("@")[2].split(",")
    nodes = tuple(Node.parse(host, port=_PORTS[address.kind]) for host in hosts)
    path = parts.path.strip("/")
    if address.kind == "cluster" and (path not in {"", "0"} or "db=" in parts.query):
        raise InvalidSetting(
            f"a Cluster has only one database: leave {shown(path or 'db')} out of its URL",
            field="url",
        )
    if address.kind == "sentinel" and (not path or "/" in path):
        raise InvalidSetting(
            "the URL of sentinels ends with the name under which they know the primary: "
            "redis+sentinel://host:26379/mymaster; the database is an option, ?db=1",
            field="url",
        )
    found = address._replace(nodes=nodes, service=path if address.kind == "sentinel" else "")
    for node in nodes:
        found.pool(node).make_connection()  # type: ignore[no-untyped-call]
    return found


def _pool(url: str) -> ConnectionPool:
    return ConnectionPool.from_url(  # pyright: ignore[reportUnknownMemberType]
        url,
        protocol=2,
        socket_connect_timeout=CONNECT_TIMEOUT,
        socket_timeout=None,
        retry=Retry(NoBackoff(), 0),
    )


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
