"""TLS to a real server: rediss:// checks the server's certificate, and says so when it is wrong.

The server that comes with the package has no TLS: this takes the redis-server of the machine.
"""

import shutil
import subprocess
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
import trustme

from tests.store.cluster_server import TestCluster, cluster_server
from tests.store.domain import Opened, account, append_of
from tests.store.plain_server import binary, free_port, plain_server
from whence.store.append import Committed
from whence.store.errors import StoreUnavailable
from whence.store.eventstore import open_store


def program_with_tls() -> str | None:
    """The first server here that knows TLS."""
    for program in (str(binary()), shutil.which("redis-server")):
        if program is not None:
            # Without a certificate it ends at once, and says whether that is what it misses.
            options = ["--port", "0", "--tls-port", "1", "--save", "", "--appendonly", "no"]
            answer = subprocess.run([program, *options], capture_output=True, check=False)
            if b"Failed to configure TLS" in answer.stdout + answer.stderr:
                return program
    return None


PROGRAM = program_with_tls()
pytestmark = pytest.mark.skipif(PROGRAM is None, reason="no server with TLS: install redis-server")


class Certificates:
    """A certificate for 127.0.0.1, one for clients, and the authority that signed both."""

    def __init__(self, folder: Path) -> None:
        authority = trustme.CA()
        self.authority = folder / "ca.pem"
        self.certificate, self.key = folder / "server.pem", folder / "server.key"
        self.client = folder / "client.pem"
        authority.cert_pem.write_to_path(str(self.authority))
        server = authority.issue_cert("127.0.0.1")
        server.cert_chain_pems[0].write_to_path(str(self.certificate))
        server.private_key_pem.write_to_path(str(self.key))
        authority.issue_cert("ann@example.org").private_key_and_cert_chain_pem.write_to_path(
            str(self.client)
        )
        self.stranger = folder / "stranger.pem"
        trustme.CA().cert_pem.write_to_path(str(self.stranger))

    def settings(self, port: int, *, clients: str = "optional") -> list[str]:
        """For a server that takes TLS at ``port``, beside its plain one for the test."""
        return [
            *("--tls-port", str(port), "--appendfsync", "always"),
            *("--tls-cert-file", str(self.certificate), "--tls-key-file", str(self.key)),
            *("--tls-ca-cert-file", str(self.authority), "--tls-auth-clients", clients),
        ]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


class Secured(NamedTuple):
    """A server with TLS: where it listens, and the URL of one who trusts its authority."""

    port: int
    url: str


@contextmanager
def secured(
    folder: Path, certificates: Certificates, *, clients: str = "optional"
) -> Generator[Secured]:
    port = free_port()
    settings = certificates.settings(port, clients=clients)
    with plain_server(folder, *settings, program=PROGRAM):
        yield Secured(port, f"rediss://127.0.0.1:{port}?ssl_ca_certs={certificates.authority}")


@pytest.fixture(scope="module")
def server(
    certificates: Certificates, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Secured]:
    with secured(tmp_path_factory.mktemp("tls"), certificates) as server:
        yield server


async def refusal(url: str, namespace: str) -> str:
    with pytest.raises(StoreUnavailable) as caught:
        async with open_store(url, namespace=namespace):
            pass
    return str(caught.value)


async def test_a_store_over_tls(
    server: Secured, certificates: Certificates, namespace: str
) -> None:
    async with open_store(server.url, namespace=namespace) as store:
        outcome = await store.append(append_of(account(), 0, Opened("ann")))

        assert isinstance(outcome, Committed)
        assert await store.head(account()) == 1


async def test_a_certificate_of_a_strange_authority_is_refused(
    server: Secured, certificates: Certificates, namespace: str
) -> None:
    url = f"rediss://:secret@127.0.0.1:{server.port}?ssl_ca_certs={certificates.stranger}"

    sentence = await refusal(url, namespace)

    assert "certificate verify failed" in sentence
    assert f"127.0.0.1:{server.port}" in sentence
    assert "secret" not in sentence


async def test_a_certificate_for_another_host_is_refused(
    server: Secured, certificates: Certificates, namespace: str
) -> None:
    url = server.url.replace("127.0.0.1", "localhost")

    assert "certificate" in await refusal(url, namespace)


async def test_an_authority_that_is_no_file_is_named(server: Secured, namespace: str) -> None:
    sentence = await refusal(
        f"rediss://127.0.0.1:{server.port}?ssl_ca_certs=/no/such/file", namespace
    )

    assert "No such file" in sentence


async def test_a_server_without_tls_is_unavailable(tmp_path: Path, namespace: str) -> None:
    with plain_server(tmp_path / "plain") as plain:
        sentence = await refusal(f"rediss://127.0.0.1:{plain.port}", namespace)

    assert f"127.0.0.1:{plain.port}" in sentence


async def test_a_client_shows_its_certificate_where_the_server_asks_for_one(
    certificates: Certificates, tmp_path: Path, namespace: str
) -> None:
    mine = f"ssl_certfile={certificates.client}&ssl_keyfile={certificates.client}"
    with secured(tmp_path / "strict", certificates, clients="yes") as server:
        sentence = await refusal(server.url, namespace)
        async with open_store(f"{server.url}&{mine}", namespace=namespace) as store:
            assert await store.head(account()) == 0

    assert f"127.0.0.1:{server.port}" in sentence


@pytest.fixture(scope="module")
def cluster(
    certificates: Certificates, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TestCluster]:
    def settings() -> list[str]:
        return ["--tls-cluster", "yes", *certificates.settings(free_port())]

    folder = tmp_path_factory.mktemp("cluster")
    with cluster_server(folder, settings=settings, program=PROGRAM) as cluster:
        yield cluster


async def test_a_cluster_over_tls(
    cluster: TestCluster, certificates: Certificates, namespace: str
) -> None:
    node = cluster.primaries[0].ask("CONFIG", "GET", "tls-port")[1].decode()
    url = f"rediss+cluster://127.0.0.1:{node}?ssl_ca_certs={certificates.authority}"
    async with open_store(url, namespace=namespace) as store:
        appends = [append_of(account(str(number)), 0, Opened("ann")) for number in range(50)]
        outcomes = await store.append_many(appends)

        assert {type(outcome) for outcome in outcomes} == {Committed}
        assert len(await store.replies_of_each(("PING",))) == len(cluster.primaries)
