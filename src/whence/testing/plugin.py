"""Fixtures for pytest: a runtime in memory, and one on a real server. In the top conftest.py:

    pytest_plugins = ["whence.testing.plugin"]

It is no entry point: those are imported in every run of pytest, also where no test has to do with
events. It needs pytest-asyncio, whose mode does not matter: ``pip install 'whence[testing]'``.
"""

from collections.abc import AsyncIterator, Iterator
from tempfile import TemporaryDirectory
from uuid import uuid4

import pytest
import pytest_asyncio

from whence.actors.runtime import Runtime
from whence.domain import Domain, load_domain
from whence.project import configured
from whence.store.embedded import EmbeddedServer
from whence.store.errors import InvalidSetting
from whence.store.eventstore import open_store


@pytest.fixture(scope="session")
def whence_domain(pytestconfig: pytest.Config) -> Domain:
    """The domain under test: [tool.whence] domain in pyproject.toml, or a fixture of this name."""
    found = configured("domain", "MODULE:NAME", pytestconfig.rootpath)
    if found is None:
        raise InvalidSetting(
            "no domain is given: write a fixture whence_domain that returns it, or write "
            f'[tool.whence] with domain = "MODULE:NAME" into {pytestconfig.rootpath}/pyproject.toml'
        )
    return load_domain(found)


@pytest.fixture(scope="session")
def whence_server() -> Iterator[EmbeddedServer]:
    """One embedded server for all tests of this process, on a folder that is deleted in the end."""
    with (
        TemporaryDirectory(prefix="whence-test-") as folder,
        EmbeddedServer.start(f"{folder}/data") as server,
    ):
        yield server


@pytest_asyncio.fixture(loop_scope="function")
async def whence_runtime(whence_domain: Domain) -> AsyncIterator[Runtime]:
    """A runtime on a new store in memory (fakeredis); ``.store`` is the store."""
    name = _new_name()
    async with (
        open_store(f"memory://{name}", namespace=name) as store,
        Runtime(store, whence_domain.write_model) as runtime,
    ):
        yield runtime


@pytest_asyncio.fixture(loop_scope="function")
async def whence_server_runtime(
    whence_domain: Domain, whence_server: EmbeddedServer
) -> AsyncIterator[Runtime]:
    """The same on the embedded server, which writes to disk; each test has its own namespace."""
    async with (
        open_store(whence_server.url, namespace=_new_name()) as store,
        Runtime(store, whence_domain.write_model) as runtime,
    ):
        yield runtime


def _new_name() -> str:
    return f"t-{uuid4().hex[:16]}"
