"""A sentinel: the server's own binary, which watches a primary and its replicas."""

import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from tests.store.plain_server import PlainServer, binary, eventually, free_port

SERVICE = "orders"


class Sentinel(PlainServer):
    """A sentinel process; alone, it decides alone."""

    def url_of(self, service: str = SERVICE, *, user: str = "") -> str:
        return f"redis+sentinel://{user}127.0.0.1:{self.port}/{service}"

    @property
    def primary_port(self) -> int:
        """Of the server that it takes for the primary."""
        return int(self.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)[1])

    def until_it_knows_the_replica(self) -> None:
        def knows() -> bool:
            return "slave,s_down" not in str(replicas := self._replicas()) and bool(replicas)

        eventually(knows, "the replica")

    def _replicas(self) -> object:
        return self.ask("SENTINEL", "REPLICAS", SERVICE)


@contextmanager
def sentinel_server(folder: Path, primary: PlainServer, *settings: str) -> Generator[Sentinel]:
    """Watch a primary; two seconds without an answer count as its end."""
    folder.mkdir(exist_ok=True)
    port = free_port()
    lines = [
        f"port {port}",
        "bind 127.0.0.1",
        f"dir {folder}",
        f"logfile {folder / 'log'}",
        f"sentinel monitor {SERVICE} 127.0.0.1 {primary.port} 1",
        f"sentinel down-after-milliseconds {SERVICE} 2000",
        f"sentinel failover-timeout {SERVICE} 4000",
        *settings,
    ]
    config = folder / "sentinel.conf"
    config.write_text("\n".join(lines) + "\n", encoding="utf-8")
    sentinel = Sentinel(subprocess.Popen([str(binary()), str(config), "--sentinel"]), port)
    try:
        sentinel.until_answers()
        sentinel.until_it_knows_the_replica()
        yield sentinel
    finally:
        sentinel.kill()
