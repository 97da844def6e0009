"""The fixtures of the plugin, in somebody else's project."""

import os
import re
from pathlib import Path

import pytest

from tests.testing.stranger import Run, run_pytest

CONFTEST = 'pytest_plugins = ["whence.testing.plugin"]\n'
PYPROJECT = '[tool.whence]\ndomain = "shop:domain"\n[tool.pytest.ini_options]\n'
SHOP = """
from whence import Aggregate, Domain, Event, command

class Sold(Event):
    item: str

class Till(Aggregate[Sold]):
    @command
    def sell(self, item: str) -> Sold:
        return Sold(item)

    def apply(self, event: Sold) -> "Till":
        return self

domain = Domain(aggregates=[Till])
"""
TESTS = """
import pytest
from shop import Till

@pytest.mark.asyncio
@pytest.mark.parametrize("day", [1, 2])
async def test_in_memory(whence_runtime, day):
    assert whence_runtime.store.address.in_memory
    assert (await whence_runtime.send(Till.sell, "1", "tea")).version == 1

@pytest.mark.asyncio
@pytest.mark.parametrize("day", [1, 2])
async def test_on_a_server(whence_server_runtime, whence_server, day):
    print(f"server {whence_server.pid}")
    assert str(whence_server_runtime.store.durability) == "fsync"
    assert whence_server_runtime.store.address.url == whence_server.url
    assert (await whence_server_runtime.send(Till.sell, "1", "tea")).version == 1
"""


def run(
    folder: Path,
    *options: str,
    pyproject: str = PYPROJECT,
    conftest: str = CONFTEST,
    tests: str = TESTS,
) -> Run:
    contents = {
        "conftest.py": conftest,
        "pyproject.toml": pyproject,
        "shop.py": SHOP,
        "test_shop.py": tests,
    }
    for name, text in contents.items():
        (folder / name).write_text(text, encoding="utf-8")
    return run_pytest(folder, *options)


@pytest.mark.parametrize(
    "settings",
    [
        'filterwarnings = ["error"]\nasyncio_default_fixture_loop_scope = "function"\n',
        'asyncio_mode = "auto"\nasyncio_default_fixture_loop_scope = "session"\n',
    ],
    ids=["strict", "auto"],
)
def test_each_test_has_a_store_of_its_own_in_memory_or_on_a_server(
    tmp_path: Path, settings: str
) -> None:
    found = run(tmp_path, "-s", pyproject=PYPROJECT + settings)

    assert found.counts == {"passed": 4}, found.text
    (pid,) = set(re.findall(r"server (\d+)", found.text))
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid), 0)


def test_the_domain_may_be_given_by_a_fixture(tmp_path: Path) -> None:
    conftest = CONFTEST + (
        "import pytest, shop\n\n@pytest.fixture\ndef whence_domain():\n    return shop.domain\n"
    )
    found = run(tmp_path, "-k", "memory", conftest=conftest, pyproject="")

    assert found.counts == {"passed": 2, "deselected": 2}, found.text


def test_without_a_domain_it_says_where_to_write_one(tmp_path: Path) -> None:
    found = run(tmp_path, "-k", "memory", "-x", pyproject="[tool.pytest.ini_options]\n")

    assert "no domain is given: write a fixture whence_domain that returns it, or " in found.text
    assert f"into {tmp_path}/pyproject.toml" in found.text


def test_a_project_that_does_not_ask_for_it_does_not_load_it(tmp_path: Path) -> None:
    looking = (
        "import sys\n\ndef test_it():\n"
        "    assert not [name for name in sys.modules if name.startswith('whence')]\n"
    )
    found = run(tmp_path, conftest="", tests=looking)

    assert found.counts == {"passed": 1}, found.text
